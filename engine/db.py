"""The engine's way to PostgreSQL: one pool per process, one transaction per thing that happens."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

IDLE_TRANSACTION_MS = 15_000
"""A process that is frozen amid a transaction loses it, and so its locks, after this long."""
_OPTIONS = f"-c idle_in_transaction_session_timeout={IDLE_TRANSACTION_MS}"


class Database:
    """A pool of connections. `url` is a `postgresql+psycopg://` one."""

    def __init__(self, url: str, pool_size: int = 10) -> None:
        self.url = url
        self.pool: AsyncEngine = create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=10,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args={"options": _OPTIONS},
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


def durable_pool(url: str, size: int = 20) -> Engine:
    """DBOS's own pool, whose every failure to connect counts as an outage, which DBOS waits out.

    By itself it goes by psycopg's words. A server that is down on a Unix socket is worded as none it
    knows: the workflow would break off there, and stay behind without an end while its worker lives.
    """
    engine = create_engine(
        url,
        pool_size=size,
        max_overflow=0,
        pool_pre_ping=True,
        connect_args={"application_name": "dbos_transact", "connect_timeout": 10, "options": _OPTIONS},
    )

    @event.listens_for(engine, "handle_error")
    def away(context: ExceptionContext) -> None:
        if context.connection is None and isinstance(context.original_exception, psycopg.OperationalError):
            context.is_disconnect = True

    return engine
