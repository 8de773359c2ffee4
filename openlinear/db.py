"""The web process's connections to PostgreSQL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache

from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear.settings import get_settings

POOL = 10
OVERFLOW = 20
REPEATABLE = "REPEATABLE READ"


@lru_cache
def engine() -> AsyncEngine:
    """This process's pool."""
    return create_async_engine(
        get_settings().database_url,
        pool_size=POOL,
        max_overflow=OVERFLOW,
        pool_pre_ping=True,
        hide_parameters=True,
    )


@lru_cache
def _sessions() -> async_sessionmaker[AsyncSession]:
    return async_sessionmaker(engine(), class_=AsyncSession, expire_on_commit=False)


@asynccontextmanager
async def transaction() -> AsyncIterator[AsyncSession]:
    """A session whose work is committed at the end, or rolled back when something is raised."""
    async with _sessions().begin() as session:
        yield session


@asynccontextmanager
async def snapshot() -> AsyncIterator[AsyncSession]:
    """A session all of whose reads see the database as it was at the first of them."""
    # It takes a connection when it is first used, as `transaction`: who holds none can wait for one.
    async with (
        AsyncSession(engine().execution_options(isolation_level=REPEATABLE)) as session,
        session.begin(),
    ):
        yield session


@asynccontextmanager
async def snapshots() -> AsyncIterator[AsyncSession]:
    """A session with a connection of its own: what is read within one `begin()` of it is of one moment."""
    async with engine().connect() as connection:
        await connection.execution_options(isolation_level=REPEATABLE)
        async with AsyncSession(connection) as session:
            yield session


async def close() -> None:
    """Give the connections back; the next use opens new ones."""
    if engine.cache_info().currsize:
        await engine().dispose()
    _sessions.cache_clear()
    engine.cache_clear()
