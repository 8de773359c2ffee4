"""Several workflows for one subject: what is left of an older one takes nothing from the latest."""

from uuid import UUID, uuid4

import pytest

from engine.batches.client import Batches, NewBatch
from engine.client import Engine
from engine.db import Database
from engine.models import Batch, Member, Run, now
from engine.ownership import claim, claim_batch
from tests.integration.test_ownership import Hall
from tests.support.engine import new_run


@pytest.fixture
async def hall(engine_database: Database, engine_client: Engine) -> Hall:
    made = Hall(engine_database, engine_client)
    await made.join("a", "b")
    return made


async def begun(hall: Hall) -> tuple[UUID, UUID]:
    """A batch of one run."""
    user = uuid4()
    run = new_run(user)
    new = NewBatch(run.project_id, user, "parallel", "main", "Ada", "ada@example.org", (run,))
    async with hall.database.transaction() as session:
        batch_id = await Batches().start(session, new)
    [(run_id,)] = await hall.execute("SELECT id FROM runs WHERE batch_id = :batch", batch=batch_id)
    return batch_id, run_id


async def handed(hall: Hall, workflow: str, worker: str) -> None:
    """As DBOS does it."""
    await hall.execute(
        "INSERT INTO dbos.workflow_status (workflow_uuid, status, executor_id, queue_name,"
        " application_version) VALUES (:workflow, 'PENDING', :worker, :queue, '3')",
        workflow=workflow,
        worker=worker,
        queue="runs",
    )


async def fence_of(hall: Hall, table: str, subject: UUID) -> int:
    [(fence,)] = await hall.execute(f"SELECT fence FROM {table} WHERE id = :id", id=subject)
    return int(fence)


async def test_a_run_s_first_turn_that_comes_back_leaves_its_second_alone(hall: Hall) -> None:
    _, run_id = await begun(hall)
    await handed(hall, str(run_id), "a")
    assert await claim(hall.database, run_id, "a", str(run_id)) is not None
    await hall.execute("UPDATE batch_members SET turn = 2, begun = 2 WHERE run_id = :run", run=run_id)
    await handed(hall, f"{run_id}:2", "b")
    second = await claim(hall.database, run_id, "b", f"{run_id}:2")
    assert second is not None
    assert await hall.look(dead="a") == [str(run_id)]
    assert await fence_of(hall, "runs", run_id) == second.fence
    await hall.hand(run_id, "b")
    assert await claim(hall.database, run_id, "b", str(run_id)) is None
    assert await fence_of(hall, "runs", run_id) == second.fence
    assert await hall.look(dead="b") == [str(run_id), f"{run_id}:2"]
    assert await fence_of(hall, "runs", run_id) == second.fence + 1


async def test_a_batch_s_first_merge_that_comes_back_leaves_its_second_alone(hall: Hall) -> None:
    batch_id, _ = await begun(hall)
    await hall.execute("UPDATE batches SET status = 'merging', round = 1")
    await handed(hall, f"{batch_id}:1", "a")
    assert await claim_batch(hall.database, batch_id, "a", f"{batch_id}:1") is not None
    await hall.execute("UPDATE batches SET round = 2")
    await handed(hall, f"{batch_id}:2", "b")
    second = await claim_batch(hall.database, batch_id, "b", f"{batch_id}:2")
    assert second is not None
    assert await hall.look(dead="a") == [f"{batch_id}:1"]
    assert await claim_batch(hall.database, batch_id, "b", f"{batch_id}:2") is not None
    await hall.execute("UPDATE dbos.workflow_status SET status = 'PENDING', executor_id = 'b'")
    assert await claim_batch(hall.database, batch_id, "b", f"{batch_id}:1") is None
    assert await fence_of(hall, "batches", batch_id) == second.fence + 1


async def test_a_batch_that_is_over_is_carried_on_until_its_runs_are_cleared(hall: Hall) -> None:
    batch_id, run_id = await begun(hall)
    await handed(hall, f"{batch_id}:1", "a")
    async with hall.database.transaction() as session:
        batch = await session.get_one(Batch, batch_id)
        batch.status, batch.round, batch.ended_at = "completed", 1, now()
        run = await session.get_one(Run, run_id)
        run.status, run.ended_at = "done", now()
        (await session.get_one(Member, run_id)).handed_in_at = now()
    assert await claim_batch(hall.database, batch_id, "a", f"{batch_id}:1") is not None
    await hall.execute("UPDATE runs SET cleared_at = clock_timestamp()")
    assert await claim_batch(hall.database, batch_id, "a", f"{batch_id}:1") is None
