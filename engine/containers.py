"""Who needs which user's sandbox: leases by run, and what becomes of a sandbox that nobody needs.

The row of a user's container is locked while it is woken, paused or removed, so two runs make one
container and none is paused under a run that has just begun.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, exists, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from engine.db import Database
from engine.models import Container, Lease, now
from engine.ports import Box, BoxState, Report, Sandbox
from engine.record import Recorder
from engine.settings import EngineSettings

log = logging.getLogger(__name__)

SWEEP_SECONDS = 5.0
ALIVE_SECONDS = 3.0


async def _unheard(_: str) -> None:
    """A Report of what nobody waits for."""


class Containers:
    def __init__(self, database: Database, sandbox: Sandbox, settings: EngineSettings) -> None:
        self._database = database
        self._sandbox = sandbox
        self._settings = settings
        self._parked = asyncio.Event()

    async def lease(self, recorder: Recorder, user_id: UUID, report: Report) -> Box:
        """The user's sandbox, awake and ready, kept so until the run releases it. Repeatable."""
        await self.unless_parked()
        async with recorder.transaction() as (session, run):
            await session.execute(
                insert(Container).values(user_id=user_id, used_at=now()).on_conflict_do_nothing()
            )
            await session.execute(
                insert(Lease).values(run_id=run.id, user_id=user_id).on_conflict_do_nothing()
            )
        async with self._locked(user_id):
            return await self._sandbox.ensure(user_id, report)

    async def leased(self, run_id: UUID) -> bool:
        """Whether the run has asked for a sandbox and not released it: what it made may be in there."""
        async with self._database.transaction() as session:
            return bool(await session.scalar(select(exists().where(col(Lease.run_id) == run_id))))

    async def release(self, run_id: UUID, user_id: UUID) -> None:
        """The run needs it no more. Its idle time begins with the last release."""
        async with self._database.transaction() as session:
            await session.execute(delete(Lease).where(col(Lease.run_id) == run_id))
            row = await session.get(Container, user_id)
            if row is not None:
                row.used_at = now()

    @asynccontextmanager
    async def borrow(self, user_id: UUID) -> AsyncIterator[Box | None]:
        """The user's sandbox, awake for as long as a short look into it takes; None where it is in use."""
        await self.unless_parked()
        async with self._locked(user_id, skip_locked=True) as (_, row):
            yield await self._sandbox.ensure(user_id, _unheard) if row is not None else None

    @asynccontextmanager
    async def visit(self, user_id: UUID) -> AsyncIterator[Box]:
        """The user's sandbox, awake for what a person waits for. Nothing else wakes or rests it meanwhile."""
        await self.unless_parked()
        async with self._locked(user_id) as (_, row):
            yield await self._sandbox.ensure(user_id, _unheard)
            if row is not None:
                row.used_at = now()

    async def forget(self, user_id: UUID) -> bool:
        """Remove a user's sandbox and all that it holds. False while a run needs it."""
        async with self._database.transaction() as session:
            row = await self._lock(session, user_id)
            if await session.scalar(select(exists().where(col(Lease.user_id) == user_id))):
                return False
            await self._sandbox.forget(user_id)
            await session.delete(row)
            return True

    async def spend(self, user_id: UUID) -> None:
        """A run was stopped in there: what escaped goes with the sandbox, as soon as no run needs it."""
        async with self._database.transaction() as session:
            await session.execute(
                update(Container).where(col(Container.user_id) == user_id).values(spent=True)
            )

    async def retire(self, user_id: UUID) -> None:
        """Put the user's sandbox to rest now, if nothing needs it: not only at the next sweep."""
        state = (await self._sandbox.found()).get(user_id)
        if state is not None:
            await self._sweep_one(user_id, state)

    async def sweep(self) -> None:
        """Pause what is idle, remove what was idle for the whole timeout. Once."""
        for user_id, state in (await self._sandbox.found()).items():
            try:
                await self._sweep_one(user_id, state)
            except Exception as error:  # one user's bad sandbox must not keep the others awake
                log.warning("the sandbox of user %s could not be put to rest: %s", user_id, error)

    async def _sweep_one(self, user_id: UUID, state: BoxState) -> None:
        async with self._locked(user_id, skip_locked=True) as (session, row):
            if row is None:
                return  # in use this very moment
            leases = await session.scalar(
                select(func.count()).select_from(Lease).where(col(Lease.user_id) == user_id)
            )
            if leases:
                return
            idle = now() - row.used_at
            if row.spent:
                await self._sandbox.remove(user_id)
                row.spent = False
            elif idle > timedelta(milliseconds=self._settings.container_idle_timeout_ms):
                log.info("removing the sandbox of user %s, idle for %s", user_id, idle)
                await self._sandbox.remove(user_id)
            elif state == "running" and idle.total_seconds() > self._settings.container_idle_pause_seconds:
                await self._sandbox.pause(user_id)

    async def serve(self) -> None:
        """Sweep until cancelled. An outage of the sandbox's host is logged and waited out."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await self.sweep()
            except Exception as error:  # one bad sweep must not end the housekeeping
                log.warning("the sandboxes could not be swept: %s", error)

    async def unless_parked(self) -> None:
        """Return at once; or never, while all is being stopped: the next start repeats what was begun."""
        if self._parked.is_set():
            await asyncio.Event().wait()

    async def park(self) -> None:
        """Before the whole product stops: freeze what a run still needs, remove the rest, trials too.

        A frozen sandbox holds its agent's session, so that the run goes on at the next start.
        """
        self._parked.set()
        try:
            await asyncio.gather(
                self._sandbox.clear_trials(under_way=True),
                *(self._park_one(user_id) for user_id in await self._sandbox.found()),
            )
        finally:
            await self._sandbox.rest()

    async def _park_one(self, user_id: UUID) -> None:
        async with self._locked(user_id) as (session, _):
            needed = await session.scalar(select(exists().where(col(Lease.user_id) == user_id)))
            await (self._sandbox.pause(user_id) if needed else self._sandbox.remove(user_id))

    @asynccontextmanager
    async def _locked(
        self, user_id: UUID, *, skip_locked: bool = False
    ) -> AsyncIterator[tuple[AsyncSession, Container | None]]:
        """The container's row, locked for as long as its sandbox is worked on; None where somebody else does.

        The database takes a lock from a process that is frozen (`engine.db`), so this one says now and
        then that it is not.
        """
        over = asyncio.Event()
        async with self._database.transaction() as session:
            row = await self._lock(session, user_id, skip_locked=skip_locked)
            alive = asyncio.create_task(_say_alive(session, over))
            try:
                yield session, row
            finally:
                over.set()
                await alive

    async def _lock(
        self, session: AsyncSession, user_id: UUID, *, skip_locked: bool = False
    ) -> Container | None:
        """The locked row; None where `skip_locked` and somebody holds it.

        A sandbox found without a row (a restored database) gets one first.
        """
        fresh = insert(Container).values(user_id=user_id, used_at=now()).on_conflict_do_nothing()
        await session.execute(fresh)
        query = select(Container).where(col(Container.user_id) == user_id)
        return (await session.execute(query.with_for_update(skip_locked=skip_locked))).scalar_one_or_none()


async def _say_alive(session: AsyncSession, over: asyncio.Event) -> None:
    """Keep a transaction from counting as idle, while whoever holds it works on the sandbox alone."""
    while True:
        try:
            async with asyncio.timeout(ALIVE_SECONDS):
                await over.wait()
                return
        except TimeoutError:
            await session.execute(text("SELECT 1"))
