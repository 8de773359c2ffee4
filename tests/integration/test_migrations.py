"""The migrations make what the models say, and nothing is left to add."""

from importlib import import_module

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine
from sqlmodel import SQLModel


def test_models_and_migrations_agree(database: str) -> None:
    for tables in ("engine.models", "openlinear.models"):
        import_module(tables)
    engine = create_engine(database)
    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, SQLModel.metadata) == []
    finally:
        engine.dispose()
