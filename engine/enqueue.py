"""Durable workflows, handed to the workers in the transaction of whoever wants them."""

import asyncio
from typing import Any

from dbos import DBOSClient, EnqueueOptions
from sqlalchemy.ext.asyncio import AsyncSession

from engine.queues import APPLICATION, CHECKS, SERIALIZER
from engine.settings import EngineSettings


class EngineAway(Exception):
    """No engine worker answered in time."""


class Enqueuer:
    """DBOS's client, made when it is first needed."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._dbos: DBOSClient | None = None

    async def enqueue(
        self,
        session: AsyncSession,
        workflow: str,
        queue: str,
        workflow_id: str,
        *args: str,
        priority: int | None = None,
    ) -> None:
        """It begins when the transaction commits. Of those that wait, the lowest `priority` goes first."""
        client = self._client()
        options: EnqueueOptions = {
            "queue_name": queue,
            "workflow_name": workflow,
            "workflow_id": workflow_id,
        }
        if priority is not None:
            options["priority"] = priority
        await session.run_sync(lambda sync: client.enqueue_in_transaction(sync, options, *args))

    async def call(self, workflow: str, *args: str, seconds: float) -> Any:
        """What a worker answers to a short workflow. EngineAway when none does in time."""
        options: EnqueueOptions = {"queue_name": CHECKS, "workflow_name": workflow}
        handle: Any = await self._client().enqueue_async(options, *args)
        try:
            async with asyncio.timeout(seconds):
                return await handle.get_result(polling_interval_sec=0.05)
        except TimeoutError as error:
            raise EngineAway from error

    async def close(self) -> None:
        if self._dbos is not None:
            await asyncio.to_thread(self._dbos.destroy)
            self._dbos = None

    def _client(self) -> DBOSClient:
        if self._dbos is None:
            self._dbos = DBOSClient(
                system_database_url=self._settings.database_url,
                serializer=SERIALIZER,
                application_name=APPLICATION,
                lazy=True,
            )
        return self._dbos
