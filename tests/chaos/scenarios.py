"""Kill it anywhere. One file, so that its tests follow each other: they take all of a machine."""

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator
from random import Random

import pytest

from tests.chaos.batchcampaign import batch_campaign, batch_schedule
from tests.chaos.batches import Batches
from tests.chaos.campaign import campaign, judge
from tests.chaos.crowd import Crowd, serve_crowd
from tests.chaos.faults import CUTS, schedule
from tests.chaos.instance import LEASE_SECONDS, Instance, serve_instance
from tests.chaos.ledger import table
from tests.chaos.parts import Program
from tests.support.needs import require

WORKERS = 3
KILLS = 60
TIMES = {
    **{"worker": 8, "postgres": 7, "web": 4, "container": 3, "agent": 3},
    **{"dockerd": 2, "dockerd_alone": 1, "remote": 3, "github": 2},
}
"""How often each part is hurt at drawn moments, beside the worker and the database at each boundary."""
TAKEOVER_SECONDS = 30.0
LEAVE_SECONDS = 10.0
DEPLOYED = 10
BUSY_SECONDS = 15.0
"""Long enough for the last of many agents to be at work before the first is done."""


@pytest.fixture(scope="module")
async def instance(worker_image: str) -> AsyncIterator[Instance]:
    require(os.geteuid() == 0, "Root, for a Docker engine of its own", "run the suite as root")
    async with serve_instance(WORKERS) as running:
        yield running


async def at_work(instance: Instance, crowd: Crowd, runs: int) -> dict[str, Program | None]:
    """Begin so many runs, and wait until the agents of all of these are at work: run → worker.

    With earlier runs that still are: those may end any moment.
    """
    begun = {(await crowd.begin(BUSY_SECONDS)).run for _ in range(runs)}
    query = "SELECT id::text, owner FROM runs WHERE status = 'executing' AND owner IS NOT NULL"
    async with asyncio.timeout(180):
        while not begun <= (found := dict(await instance.books.rows(query))).keys():
            await asyncio.sleep(0.05)
    return {run: instance.worker_of(owner) for run, owner in found.items()}


async def test_a_worker_that_was_frozen_and_wakes_writes_nothing(instance: Instance) -> None:
    away = instance.workers[-1]
    async with serve_crowd(instance) as crowd:
        held = await at_work(instance, crowd, 4)
        while not (its := [run for run, worker in held.items() if worker is away]):
            held = await at_work(instance, crowd, 1)
        frozen = away.process
        assert frozen is not None
        owned = "SELECT id FROM runs WHERE id::text = ANY(%s) AND owner = %s"
        [(name,)] = await instance.books.rows("SELECT owner FROM runs WHERE id = %s", its[0])
        frozen.send_signal(signal.SIGSTOP)
        begun = time.monotonic()
        async with asyncio.timeout(TAKEOVER_SECONDS):
            while await instance.books.rows(owned, its, name):
                await asyncio.sleep(0.05)
        print(f"{len(its)} runs taken over after {time.monotonic() - begun:.1f} s, lease {LEASE_SECONDS:g} s")
        frozen.send_signal(signal.SIGCONT)
        assert await asyncio.to_thread(frozen.wait, LEAVE_SECONDS) == 1, "it leaves by itself"
        results = await judge(instance, crowd, [])
    assert set(results.attempts.values()) == {1}
    assert await instance.books.rows(owned, its, name) == []


async def test_a_deployment_in_the_middle_of_ten_runs_finishes_all_ten(instance: Instance) -> None:
    async with serve_crowd(instance) as crowd:
        held = await at_work(instance, crowd, DEPLOYED)
        assert len(held) == DEPLOYED
        await asyncio.gather(*(asyncio.to_thread(leaves, one) for one in instance.workers))
        results = await judge(instance, crowd, [])
    assert list(results.attempts.values()) == [1] * DEPLOYED


def leaves(worker: Program) -> None:
    """It ends in good time when it is asked to."""
    process = worker.process
    assert process is not None
    process.terminate()
    assert process.wait(LEAVE_SECONDS) == 0


async def test_whatever_is_killed_every_run_comes_to_its_right_end(instance: Instance) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.randrange(1 << 32))
    print(f"CHAOS_SEED={seed}")
    draw = Random(seed)
    faults = schedule(draw, TIMES)
    async with serve_crowd(instance) as crowd:
        results = await campaign(instance, crowd, faults, draw)
    print(table(results))
    assert sum(strike.fault.part not in CUTS for strike in results.strikes) >= KILLS


async def test_whatever_is_killed_every_batch_comes_to_its_right_end(instance: Instance) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.randrange(1 << 32))
    print(f"CHAOS_SEED={seed}")
    draw = Random(seed)
    async with serve_crowd(instance) as crowd:
        faults = batch_schedule(draw)
        results = await batch_campaign(instance, Batches(instance, crowd), faults, draw)
    print(table(results, "batches"))
    assert len(results.strikes) == len(faults)
