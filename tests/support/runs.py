"""Runs as a worker would write them, on a site without a worker."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlmodel import col

from engine.db import Database
from engine.models import Ask, Run, RunDiff
from engine.record import Entry, append
from openlinear.services import execution
from tests.support.browser import Site
from tests.support.engine import recorder_of


class Scribe:
    """Writes what happens to the open run of a task."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def run_of(self, task_id: str) -> UUID:
        async with self.database.transaction() as session:
            query = select(col(Run.id)).where(col(Run.task_id) == UUID(task_id))
            found = await session.scalar(query.order_by(col(Run.created_at).desc()).limit(1))
        assert found is not None
        return found

    async def begins(self, run_id: UUID) -> None:
        """The turn of a run that waited in its batch has come."""
        async with self.database.transaction() as session:
            await execution.begins(session, run_id)  # type: ignore[arg-type]

    async def write(self, run_id: UUID, *entries: Entry, **columns: Any) -> None:
        await recorder_of(self.database, run_id).write(entries, **columns)

    async def works(self, run_id: UUID, line: str, part: str, progress: int = 40) -> None:
        """A tool call that begins, as the agent's stream reports it."""
        entry = Entry("tool", part, "running", line, details={"tool": "bash", "input": {"command": line}})
        await self.write(run_id, entry, status="executing", message=line, progress=progress)

    async def asks(self, run_id: UUID, text: str, kind: str = "permission", **details: Any) -> UUID:
        async with self.database.transaction() as session:
            ask = Ask(run_id=run_id, part="ask", kind=kind, text=text, details={"ask": kind, **details})
            session.add(ask)
        await self.write(run_id, Entry("ask", "ask", message=text), status="waiting", message=text)
        return ask.id

    async def waits(self, run_id: UUID) -> None:
        """What the run waits for is told, as the worker does with each ask."""
        async with self.database.transaction() as session:
            await execution.waits(session, run_id)  # type: ignore[arg-type]

    async def answered(self, ask_id: UUID) -> dict[str, Any] | None:
        async with self.database.transaction() as session:
            return (await session.get_one(Ask, ask_id)).answer

    async def ends(self, run_id: UUID, patch: str = "", **columns: Any) -> None:
        """The run is done and its card goes to Done, in one transaction, as the worker does it."""
        recorder = recorder_of(self.database, run_id)
        async with recorder.transaction() as (session, run):
            columns = {"status": "done", "progress": 100, "ended_at": datetime.now(UTC), **columns}
            if patch:
                session.add(RunDiff(run_id=run_id, patch=patch, files=[]))
            for name, value in columns.items():
                setattr(run, name, value)
            await session.flush()
            await append(session, run, [Entry("status", "ended", message="Done")])
            await execution.ended(session, run_id)  # type: ignore[arg-type]


@pytest.fixture
async def scribe(site: Site) -> AsyncIterator[Scribe]:
    database = Database(site.database_url)
    try:
        yield Scribe(database)
    finally:
        await database.close()
