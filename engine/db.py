"""The engine's way to PostgreSQL: one pool per process, one transaction per thing that happens."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine


class Database:
    """A pool of connections. `url` is a `postgresql+psycopg://` one."""

    def __init__(self, url: str, pool_size: int = 10) -> None:
        self.url = url
        self.pool: AsyncEngine = create_async_engine(
            url, pool_size=pool_size, max_overflow=10, pool_pre_ping=True, hide_parameters=True
        )
        self._sessions = async_sessionmaker(self.pool, expire_on_commit=False)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session whose work is committed at the end, or rolled back by an exception."""
        async with self._sessions() as session, session.begin():
            yield session

    async def close(self) -> None:
        await self.pool.dispose()

    @property
    def libpq_url(self) -> str:
        """The same server for psycopg itself, which knows nothing of SQLAlchemy's drivers."""
        return self.url.replace("postgresql+psycopg://", "postgresql://", 1)
