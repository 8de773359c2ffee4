"""News for the engine's workers: "cancel this run", "an answer came", over LISTEN on one connection.

A NOTIFY is a hint, never the truth: whoever is woken reads the row. After a reconnect everybody is
woken once, since a hint may have been missed meanwhile.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import psycopg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

CHANNEL = "engine"
BATCHES = UUID(int=1)
"""Watched by whoever sees to batches: a slot may be free, or something may have been asked of one."""
EGRESS = UUID(int=2)
"""Watched by whoever tells sandboxes what they may reach: somebody chose anew."""
WORK = UUID(int=3)
"""Watched by whoever takes work from the queues: see `engine.doorbell`."""
log = logging.getLogger(__name__)


async def stir(session: AsyncSession, watched: UUID) -> None:
    """Wake whoever watches this, in any worker, once the transaction commits."""
    await session.execute(
        text("SELECT pg_notify(:channel, :watched)"), {"channel": CHANNEL, "watched": str(watched)}
    )


class Signals:
    """Wakes whoever watches a run. `serve()` runs for the life of the worker."""

    def __init__(self, libpq_url: str) -> None:
        self._url = libpq_url
        self._watchers: dict[UUID, set[asyncio.Event]] = defaultdict(set)

    @contextmanager
    def watch(self, run_id: UUID) -> Iterator[asyncio.Event]:
        """An event that is set whenever something about this run may have changed.

        It begins set, so that a watcher reads the row once before it waits.
        """
        event = asyncio.Event()
        event.set()
        self._watchers[run_id].add(event)
        try:
            yield event
        finally:
            self._watchers[run_id].discard(event)
            if not self._watchers[run_id]:
                del self._watchers[run_id]

    async def serve(self) -> None:
        """Listen until cancelled; a lost connection is made again after a second."""
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    self._wake_all()
                    async for notify in connection.notifies():
                        self._wake(notify.payload)
            except psycopg.OperationalError as error:
                log.warning("lost the database while listening, trying again: %s", type(error).__name__)
            await asyncio.sleep(1.0)

    def _wake(self, payload: str) -> None:
        try:
            run_id = UUID(payload)
        except ValueError:
            return
        self.wake(run_id)

    def wake(self, watched: UUID) -> None:
        """Wake those in this process that watch this."""
        for event in self._watchers.get(watched, ()):
            event.set()

    def _wake_all(self) -> None:
        for events in self._watchers.values():
            for event in events:
                event.set()
