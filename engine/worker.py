"""A worker's name, which one process holds at a time, and its sign of life."""

import asyncio
import logging

import psycopg
from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from engine.models import Worker, now
from engine.queues import HEARTBEAT_SECONDS
from engine.world import World

log = logging.getLogger(__name__)


class Name:
    """A worker's name, held by a lock of the database's for as long as the process lives.

    Runs that were under way belong to the name: two processes under one name would both carry them on.
    """

    def __init__(self, libpq_url: str, name: str) -> None:
        self._url = libpq_url
        self._name = name
        self._connection: psycopg.AsyncConnection | None = None

    async def claim(self) -> None:
        """Wait until no other process holds the name, then hold it."""
        while not await self._try():
            log.warning("another worker is called %s: waiting for it to end", self._name)
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def serve(self) -> None:
        """Hold it until cancelled. Ends when somebody else took it while the database was away."""
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            try:
                if not await self._try():
                    raise RuntimeError(f"another worker has taken the name {self._name}")
            except psycopg.OperationalError as error:
                log.warning("the worker's name is not held now: %s", type(error).__name__)

    async def _try(self) -> bool:
        """Whether the name is ours. A lost connection lost it, so that it is claimed anew."""
        if self._connection is not None:
            try:
                await self._connection.execute("SELECT 1")
                return True
            except psycopg.OperationalError:
                self._connection = None
        connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True)
        claim = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"
        row = await (await connection.execute(claim, [f"worker:{self._name}"])).fetchone()
        if row is None or not row[0]:
            await connection.close()
            return False
        self._connection = connection
        return True


class Heartbeat:
    def __init__(self, here: World, name: str) -> None:
        self._here = here
        self._name = name

    async def once(self) -> None:
        values = {
            "id": self._name,
            "seen_at": now(),
            "sandbox": self._here.sandbox.name,
            "trouble": await self._here.sandbox.check(),
        }
        async with self._here.database.transaction() as session:
            query = insert(Worker).values(started_at=now(), **values)
            await session.execute(query.on_conflict_do_update(index_elements=["id"], set_=values))

    async def serve(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            try:
                await self.once()
            except Exception as error:  # the database may be away for a while; runs go on
                log.warning("no heartbeat: %s", type(error).__name__)

    async def stop(self) -> None:
        """Gone on purpose: nobody has to wait for the heartbeat to be missed."""
        try:
            async with asyncio.timeout(2.0), self._here.database.transaction() as session:
                await session.execute(delete(Worker).where(col(Worker.id) == self._name))
        except Exception as error:
            log.warning("could not sign off: %s", type(error).__name__)
