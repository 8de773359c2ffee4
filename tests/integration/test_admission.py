"""Admission: no race gets past a user's limit, and a task never runs twice at once."""

import asyncio
from collections import Counter
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, text
from sqlmodel import col

from engine.admission import AlreadyRunning
from engine.client import Engine, NewRun, ParallelLimitReached
from engine.db import Database
from engine.models import Run
from tests.support.engine import new_run

ROUNDS = 30
AT_ONCE = 16
LIMIT = 3


async def _press(engine: Engine, database: Database, new: NewRun) -> str:
    """One press of Execute, in a transaction of its own, as a request is."""
    try:
        async with database.transaction() as session:
            await engine.start(session, new, LIMIT)
    except (ParallelLimitReached, AlreadyRunning) as refusal:
        return type(refusal).__name__
    return "admitted"


async def _queued(database: Database) -> set[UUID]:
    async with database.transaction() as session:
        rows = await session.execute(text("SELECT workflow_uuid FROM dbos.workflow_status"))
        return {UUID(row[0]) for row in rows}


async def test_sixteen_at_once_thirty_rounds(engine_client: Engine, engine_database: Database) -> None:
    for _ in range(ROUNDS):
        user = uuid4()
        presses = (_press(engine_client, engine_database, new_run(user)) for _ in range(AT_ONCE))
        outcomes = Counter(await asyncio.gather(*presses))
        assert outcomes == {"admitted": LIMIT, "ParallelLimitReached": AT_ONCE - LIMIT}
    async with engine_database.transaction() as session:
        runs = set((await session.execute(select(col(Run.id)))).scalars())
    assert len(runs) == ROUNDS * LIMIT
    assert await _queued(engine_database) == runs, "every admitted run has its workflow, and no other"


async def test_two_people_press_execute_on_one_task(engine_client: Engine, engine_database: Database) -> None:
    for _ in range(ROUNDS):
        task = uuid4()
        presses = [_press(engine_client, engine_database, new_run(uuid4(), task_id=task)) for _ in range(4)]
        assert Counter(await asyncio.gather(*presses)) == {"admitted": 1, "AlreadyRunning": 3}


async def test_a_transaction_that_fails_enqueues_nothing(
    engine_client: Engine, engine_database: Database
) -> None:
    with pytest.raises(RuntimeError, match="after the admission"):
        async with engine_database.transaction() as session:
            await engine_client.start(session, new_run(uuid4()), LIMIT)
            raise RuntimeError("after the admission")
    async with engine_database.transaction() as session:
        assert await session.scalar(select(func.count()).select_from(Run)) == 0
    assert await _queued(engine_database) == set()


async def test_a_waiting_run_counts_and_an_ended_one_does_not(
    engine_client: Engine, engine_database: Database
) -> None:
    user = uuid4()
    for _ in range(LIMIT):
        assert await _press(engine_client, engine_database, new_run(user)) == "admitted"
    async with engine_database.transaction() as session:
        await session.execute(text("UPDATE runs SET status = 'waiting'"))
    assert await _press(engine_client, engine_database, new_run(user)) == "ParallelLimitReached"
    async with engine_database.transaction() as session:
        await session.execute(
            text("UPDATE runs SET status = 'done', ended_at = now() WHERE id = (SELECT id FROM runs LIMIT 1)")
        )
    assert await _press(engine_client, engine_database, new_run(user)) == "admitted"
