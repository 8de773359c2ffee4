"""Bring a database's tables up to date: ours by alembic, the workflows' by DBOS, with our trigger on them."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from alembic import command
from alembic.config import Config
from dbos import DBOS
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import OperationalError

from engine import doorbell
from openlinear.resources import resource
from openlinear.schema import mark
from openlinear.settings import get_settings

LOCK = 0x6F70656E_6C696E65  # "openline": the advisory lock of this job
WAIT_SECONDS = 0.1


@contextmanager
def locked(url: str) -> Iterator[Connection]:
    """A connection that alone may migrate this database, until it is left.

    It asks again and again rather than wait inside PostgreSQL: a waiting statement holds a snapshot,
    and building an index concurrently waits for every older snapshot, so that the two would block
    each other for good.
    """
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            while not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": LOCK}):
                connection.rollback()
                time.sleep(WAIT_SECONDS)
            connection.commit()
            yield connection
    finally:
        engine.dispose()  # closing the connection drops the lock


def migrate(url: str) -> None:
    """Upgrade every table to what this version wants. Safe to call from several starts at once."""
    with locked(url) as connection:
        upgrade(connection, "heads")
        connection.commit()
        DBOS.migrate(url)
        connection.execute(text(doorbell.TRIGGER))
        connection.execute(text(f"COMMENT ON SCHEMA dbos IS '{mark()}'"))
        connection.commit()


def upgrade(connection: Connection, revision: str) -> None:
    """Bring our tables to a revision, in the connection's transaction where it has one."""
    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def alembic_config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(resource("alembic")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def main() -> None:
    """Migrate the database that DATABASE_URL names; the last line printed says what went wrong."""
    try:
        migrate(get_settings().database_url)
    except OperationalError as error:
        why = str(error.orig).strip().splitlines()[0]
        sys.exit(f"The database of DATABASE_URL could not be reached or migrated: {why}")


if __name__ == "__main__":
    main()
