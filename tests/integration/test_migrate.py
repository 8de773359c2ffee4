"""Migrations on a real server."""

import asyncio

from sqlalchemy import create_engine, inspect, text

from openlinear import schema
from openlinear.migrate import migrate


def test_a_fresh_database_gets_the_workflow_tables(database: str) -> None:
    engine = create_engine(database)
    with engine.connect() as connection:
        assert inspect(connection).has_table("workflow_status", schema="dbos")
    engine.dispose()


async def test_two_starts_at_once_migrate_once_each_without_blocking(empty_database: str) -> None:
    async with asyncio.timeout(60):
        await asyncio.gather(*(asyncio.to_thread(migrate, empty_database) for _ in range(2)))
    engine = create_engine(empty_database)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM dbos.dbos_migrations")) == 1
    engine.dispose()


def test_migrating_again_changes_nothing(database: str) -> None:
    engine = create_engine(database)
    with engine.connect() as connection:
        before = set(inspect(connection).get_table_names())
        migrate(database)
        assert set(inspect(connection).get_table_names()) == before
    engine.dispose()


def test_a_database_knows_whether_it_is_current(database: str, empty_database: str) -> None:
    assert schema.current(database)
    assert not schema.current(empty_database)
    engine = create_engine(database)
    with engine.begin() as connection:
        connection.execute(text("COMMENT ON SCHEMA dbos IS 'openlinear of another version'"))
    engine.dispose()
    assert not schema.current(database)
    migrate(database)
    assert schema.current(database)
