"""Writing what becomes of a batch, for as long as the hold on it lasts."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

from sqlalchemy.ext.asyncio import AsyncSession

from engine.models import OVER, Batch, now
from engine.ownership import Hold, require
from engine.step import End
from engine.world import World

_STATUS: dict[str, Literal["completed", "failed", "cancelled"]] = {
    "done": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
}


class BatchRecorder:
    """As `engine.record.Recorder`, for a batch, whose news are the product's. Superseded afterwards."""

    def __init__(self, here: World, hold: Hold) -> None:
        self._here = here
        self._hold = hold
        self.id = hold.id

    async def subject(self) -> Batch:
        """The row as it is now."""
        async with self._here.database.transaction() as session:
            batch = await session.get_one(Batch, self.id)
            require(batch, self._hold)
            return batch

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[tuple[AsyncSession, Batch]]:
        """A transaction that holds the batch's lock, and whose writes no older owner can make."""
        async with self._here.database.transaction() as session:
            batch = await session.get_one(Batch, self.id, with_for_update=True)
            require(batch, self._hold)
            yield session, batch

    async def write(self, entries: Sequence[Any] = (), **columns: Any) -> None:
        """Set columns; a batch has no entries. One that is over stays as it is."""
        async with self.transaction() as (_session, batch):
            if batch.status not in OVER:
                for name, value in columns.items():
                    setattr(batch, name, value)

    async def say(self, message: str) -> None:
        """What it does now, for whoever looks at it."""
        async with self.transaction() as (session, batch):
            if batch.status not in OVER and batch.message != message:
                batch.message = message
                await session.flush()
                await self._here.product.batch(session, batch.id, "updated")

    async def finish(self, end: End) -> None:
        """Record the end and tell of it. A batch that is over stays as it is."""
        status = _STATUS[end["status"]]
        async with self.transaction() as (session, batch):
            if batch.status in OVER:
                return
            if batch.cancel_requested_at is not None and batch.pushed_sha is None:
                status = "cancelled"
            batch.status, batch.message, batch.ended_at = status, "", now()
            if status == "failed":
                batch.error, batch.error_kind = end["reason"], end["kind"]
            await session.flush()
            await self._here.product.batch(session, batch.id, status)
