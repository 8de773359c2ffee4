"""A worker's sign of life, and whether its sandbox can run agents now."""

import asyncio
import logging

from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from engine.models import Worker, now
from engine.queues import HEARTBEAT_SECONDS
from engine.world import World

log = logging.getLogger(__name__)


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
