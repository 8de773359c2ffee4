"""A lock that all workers of an installation share, for as long as a block runs: the database's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import psycopg


@asynccontextmanager
async def alone(libpq_url: str, name: str, *, wait: bool = True) -> AsyncIterator[bool]:
    """Hold the lock of this name. Yields False, without it, where `wait` is not wanted and another holds it.

    It lies on a connection of its own, so that no transaction stays open; a worker that dies lets it go.
    Given back in words: a connection that is closed keeps its locks until the database has noticed.
    """
    take = "pg_advisory_lock" if wait else "pg_try_advisory_lock"
    async with await psycopg.AsyncConnection.connect(libpq_url, autocommit=True) as connection:
        row = await (await connection.execute(f"SELECT {take}(hashtextextended(%s, 0))", [name])).fetchone()
        try:
            yield bool(wait or (row is not None and row[0]))
        finally:
            with suppress(psycopg.OperationalError):  # it went with the connection
                await connection.execute("SELECT pg_advisory_unlock_all()")
