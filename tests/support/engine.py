"""The engine's client on a real database, and runs to try it with."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from engine.client import Engine, NewRun
from engine.db import Database
from engine.ownership import Hold
from engine.record import Recorder
from engine.settings import EngineSettings


def new_run(user_id: UUID, *, task_id: UUID | None = None, **changes: object) -> NewRun:
    values: dict[str, object] = {
        "task_id": task_id or uuid4(),
        "project_id": uuid4(),
        "user_id": user_id,
        "title": "A task",
        "prompt": "Do it",
        "agent": "opencode",
        "model": "demo/demo-1",
        "author_name": "Ada",
        "author_email": "ada@example.org",
        "base_branch": "main",
        **changes,
    }
    return NewRun(**values)  # type: ignore[arg-type]


def recorder_of(database: Database, run_id: UUID) -> Recorder:
    """Writes the history of a run that no worker has claimed."""
    return Recorder(database, Hold(run_id, 0))


@pytest.fixture
async def engine_database(database: str) -> AsyncIterator[Database]:
    opened = Database(database, pool_size=20)
    try:
        yield opened
    finally:
        await opened.close()


@pytest.fixture
async def engine_client(database: str) -> AsyncIterator[Engine]:
    engine = Engine(EngineSettings(database_url=database))
    try:
        yield engine
    finally:
        await engine.close()
