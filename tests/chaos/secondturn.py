"""A task that its batch sent back, while what is left of its first turn is on a worker that died."""

import asyncio

from tests.chaos.batchcampaign import judge_batches
from tests.chaos.batches import Batches
from tests.chaos.crowd import serve_crowd
from tests.chaos.instance import LEASE_SECONDS, Instance


async def second_turn(instance: Instance) -> None:
    """The first turn, whose end was not recorded, is taken over while the agent is at its second, and takes
    nothing from that. AssertionError when the batch does not come to its right end."""
    async with serve_crowd(instance, 1) as crowd:
        batches = Batches(instance, crowd)
        await instance.books.arm(["hand_in"])
        try:
            batch = await batches.begin_clashing()
            await _kill_owner(instance, batch.tasks[1].run)
        finally:
            await instance.books.disarm()
        results = await judge_batches(instance, batches, [])
    repo = batch.member.repo
    assert repo.read(repo.branches()[f"openlinear/batch-{batch.run}"], "a.py") == b"A = 23\n"
    assert set(results.attempts.values()) == {1}


async def _kill_owner(instance: Instance, run: str) -> None:
    """The worker of the first turn, once the second is under way; it stays away for longer than its lease."""
    owners = "SELECT executor_id FROM dbos.workflow_status WHERE workflow_uuid = ANY(%s)"
    async with asyncio.timeout(90):
        while not await instance.books.rows(f"{owners} AND status = 'PENDING'", [f"{run}:2"]):
            await asyncio.sleep(0.02)
    [(owner,)] = await instance.books.rows(owners, [run])
    worker = instance.worker_of(owner)
    assert worker is not None
    assert worker.process is not None
    instance.supervisor.pause[worker.name] = LEASE_SECONDS + 2
    worker.process.kill()
