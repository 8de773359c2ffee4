"""A lock that all workers of an installation share, for as long as a block runs: the database's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg


@asynccontextmanager
async def alone(libpq_url: str, name: str, *, wait: bool = True) -> AsyncIterator[bool]:
    """Hold the lock of this name. Yields False, without it, where `wait` is not wanted and another holds it.

    It lies on a connection of its own, so that no transaction stays open; a worker that dies lets it go.
    """
    take = "pg_advisory_lock" if wait else "pg_try_advisory_lock"
    async with await psycopg.AsyncConnection.connect(libpq_url, autocommit=True) as connection:
        row = await (await connection.execute(f"SELECT {take}(hashtextextended(%s, 0))", [name])).fetchone()
        yield bool(wait or (row is not None and row[0]))
