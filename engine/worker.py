"""A worker process among others: its name, its sign of life, and what it does when others give none."""

import asyncio
import logging
import time

import psycopg
from sqlalchemy import func, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from engine import ending
from engine.logs import run_context
from engine.models import Worker
from engine.ownership import Hold, Superseded, claim_abandoned, hand_over, take_over
from engine.process import end_for_good
from engine.queues import APPLICATION_VERSION
from engine.record import Recorder
from engine.step import CANCELLED
from engine.world import World

log = logging.getLogger(__name__)

NAME_SECONDS = 5.0
ABANDONED_SECONDS = 0.5
"""How often cancelled runs are looked for that nobody ends."""


class StruckOff(Exception):
    """Others took this process for dead, and its runs with it."""


class Name:
    """A worker's name, held by a lock of the database's for as long as the process lives.

    Whoever gets the lock knows that the name's last process is dead, and need not wait for its
    heartbeats to be missed. It is a short cut alone: who may write is for the fences to say.
    """

    def __init__(self, libpq_url: str, wanted: str) -> None:
        self._url = libpq_url
        self._wanted = wanted
        self._name = wanted
        self._connection: psycopg.AsyncConnection | None = None

    async def claim(self) -> str:
        """The wanted name or, where others have that, the first free one with a number behind it."""
        self._connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True)
        number = 1
        while True:
            name = self._wanted if number == 1 else f"{self._wanted}-{number}"
            if await self._try(name):
                self._name = name
                return name
            number += 1

    async def serve(self) -> None:
        """Hold the name: a connection that is lost loses it, so that it is taken anew, if still free."""
        while True:
            await asyncio.sleep(NAME_SECONDS)
            try:
                await self._held().execute("SELECT 1")
            except psycopg.OperationalError:
                await self._again()

    async def _again(self) -> None:
        try:
            self._connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True)
            await self._try(self._name)
        except psycopg.OperationalError as error:
            log.warning("the worker's name is not held now: %s", type(error).__name__)

    async def _try(self, name: str) -> bool:
        query = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"
        row = await (await self._held().execute(query, [f"worker:{name}"])).fetchone()
        return row is not None and bool(row[0])

    def _held(self) -> psycopg.AsyncConnection:
        if self._connection is None:
            raise RuntimeError("claim a name first")
        return self._connection


class Membership:
    """This process's row in `workers`: while it is there and fresh, the process may take and write runs."""

    def __init__(self, here: World, name: str) -> None:
        self._here = here
        self._name = name
        self._steady_since = time.monotonic()
        """Since when the database has answered every time: those who were cut off with us are not dead."""

    async def join(self) -> None:
        """Sign on, and take over from the last process of this name."""
        trouble = await self._here.sandbox.check()
        await self._take_over(dead=self._name)
        async with self._here.database.transaction() as session:
            await session.execute(
                insert(Worker).values(
                    id=self._here.worker,
                    name=self._name,
                    version=APPLICATION_VERSION,
                    started_at=func.clock_timestamp(),
                    seen_at=func.clock_timestamp(),
                    sandbox=self._here.sandbox.name,
                    trouble=trouble,
                )
            )
        await self._take_over()

    async def serve(self) -> None:
        """Give signs of life and look for those who give none. StruckOff when this one was given up."""
        while True:
            await asyncio.sleep(self._here.settings.worker_heartbeat_seconds)
            try:
                await self._beat()
                await self._look()
            except StruckOff:
                raise
            except Exception as error:  # the database may be away for a while; runs go on
                log.warning("no heartbeat: %s", type(error).__name__)
                self._steady_since = time.monotonic()

    async def leave(self) -> None:
        """Hand everything over and sign off: the next worker carries on at once."""
        try:
            async with asyncio.timeout(2.0), self._here.database.transaction() as session:
                await hand_over(session, self._here.worker)
        except Exception as error:
            log.warning("could not hand over: %s", type(error).__name__)

    async def _beat(self) -> None:
        trouble = await self._here.sandbox.check()
        async with self._here.database.transaction() as session:
            seen = await session.execute(
                update(Worker)
                .where(col(Worker.id) == self._here.worker)
                .values(seen_at=func.clock_timestamp(), trouble=trouble)
                .returning(col(Worker.id))
            )
            if seen.first() is None:
                raise StruckOff(self._here.worker)

    async def _look(self) -> None:
        if time.monotonic() - self._steady_since >= self._here.settings.worker_lease_seconds:
            await self._take_over()

    async def _take_over(self, dead: str | None = None) -> None:
        lease = self._here.settings.worker_lease_seconds
        async with self._here.database.transaction() as session:
            workers, workflows = await take_over(session, dead=dead, lease_seconds=lease)
        for worker in workers:
            await asyncio.to_thread(end_for_good, worker)
        if workflows:
            log.info("took over from workers that are gone: %s", ", ".join(workflows))


class Abandoned:
    """Ends and clears the runs whose owner does not: it may be dead, frozen, or hang."""

    def __init__(self, here: World) -> None:
        self._here = here
        self._under_way: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        while True:
            await asyncio.sleep(ABANDONED_SECONDS)
            try:
                for hold in await claim_abandoned(self._here.database, self._here.worker):
                    task = asyncio.create_task(self._end(hold))
                    self._under_way.add(task)
                    task.add_done_callback(self._under_way.discard)
            except Exception as error:
                log.warning("abandoned runs could not be looked for: %s", type(error).__name__)

    async def _end(self, hold: Hold) -> None:
        """Cancelled if it has no end yet. Should this fail, the next look finds the run again."""
        try:
            with run_context(str(hold.id)):
                await ending.conclude(self._here, Recorder(self._here.database, hold), CANCELLED)
        except Superseded:
            return
        except Exception:
            log.exception("run %s could not be ended", hold.id)
