"""How alembic reaches the database and which tables it looks after.

`openlinear.migrate` hands over a connection that holds the migration lock; `alembic` on the
command line has none, so that it opens one here and takes the lock itself.
"""

from importlib import import_module
from importlib.util import find_spec

from alembic import context
from sqlalchemy import Connection
from sqlmodel import SQLModel

from openlinear.migrate import locked
from openlinear.settings import get_settings

for tables in ("engine.models", "openlinear.models"):
    if find_spec(tables):
        import_module(tables)


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=SQLModel.metadata, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


def main() -> None:
    if context.is_offline_mode():
        context.configure(
            url=get_settings().database_url, target_metadata=SQLModel.metadata, literal_binds=True
        )
        with context.begin_transaction():
            context.run_migrations()
        return
    given = context.config.attributes.get("connection")
    if given is not None:
        run(given)
        return
    with locked(get_settings().database_url) as connection:
        run(connection)


main()
