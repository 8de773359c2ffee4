"""One reader of news per web process: it listens once, reads once, and hands on to all who follow."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import lru_cache

import psycopg
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear import db, metrics
from openlinear.services import feed
from openlinear.services.feed import News
from openlinear.settings import get_settings

log = logging.getLogger(__name__)

POLL_SECONDS = 5.0
"""A hint may get lost; how late its news are then at most."""
RETRY_SECONDS = 1.0
BATCH = 500
BACKLOG = 1000
"""Batches a follower may be behind before it is let go, to come back and read what it missed."""


class Subscription:
    """Batches of news in their order, unscoped. Ends when its reader stops or it fell too far behind."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[list[News] | None] = asyncio.Queue()

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> list[News]:
        """The next batch. Safe to cancel and to ask again."""
        batch = await self._queue.get()
        if batch is None:
            raise StopAsyncIteration
        return batch

    def offer(self, batch: list[News]) -> bool:
        """Queue a batch; False when too many wait already."""
        if self._queue.qsize() >= BACKLOG:
            return False
        self._queue.put_nowait(batch)
        return True

    def end(self) -> None:
        self._queue.put_nowait(None)


class NewsReader:
    """`start` it once; every `subscribe` begins with what is committed from then on."""

    def __init__(self) -> None:
        self._followers: set[Subscription] = set()
        self._task: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self.last = 0
        """The number of the last news handed on."""

    async def start(self) -> None:
        """Begin to listen. Does nothing where it has begun."""
        async with self._starting:
            if self._task is None:
                async with db.transaction() as session:
                    self.last = await feed.latest_id(session)
                self._task = asyncio.create_task(self._serve())

    async def stop(self) -> None:
        """End, and every subscription with it."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        for follower in self._followers:
            follower.end()

    @asynccontextmanager
    async def subscribe(self) -> AsyncIterator[Subscription]:
        """Follow the news from here on; starts the reader where nobody did."""
        await self.start()
        follower = Subscription()
        self._followers.add(follower)
        try:
            yield follower
        finally:
            self._followers.discard(follower)

    async def _serve(self) -> None:
        while True:
            try:
                await self._listen()
            except (psycopg.Error, OSError) as error:
                log.warning("no news while the database is away: %s", type(error).__name__)
            except Exception:
                log.exception("reading news failed; trying again")
            await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self) -> None:
        """Listen first, then read: what is committed in between is read, then or later."""
        url = get_settings().database_url.replace("postgresql+psycopg://", "postgresql://", 1)
        async with (
            await psycopg.AsyncConnection.connect(url, autocommit=True) as connection,
            db.snapshots() as session,
        ):
            await connection.execute("LISTEN news")
            told: int | None = None
            while True:
                await self._read(session, told)
                heard = [
                    int(notify.payload)
                    async for notify in connection.notifies(timeout=POLL_SECONDS, stop_after=1)
                ]
                told = max(heard, default=None)

    async def _read(self, session: AsyncSession, told: int | None) -> None:
        """Hand on all news up to number `told`, in batches; without a number, all there is.

        A batch may end before what is there does (see `feed.news`), so only the number, or a batch
        that is empty, says that nothing was left.
        """
        while told is None or self.last < told:
            async with session.begin():
                batch = await feed.news(session, self.last, BATCH)
                if not batch:
                    return
                # Before the transaction ends: that is one more way to the database and back.
                self._hand_on(batch)

    def _hand_on(self, batch: list[News]) -> None:
        self.last = batch[-1].id
        metrics.handed_on("read", batch)
        for follower in [f for f in self._followers if not f.offer(batch)]:
            self._followers.discard(follower)
            follower.end()


@lru_cache
def news_reader() -> NewsReader:
    """This process's reader."""
    return NewsReader()
