"""From the kill of a worker to the next event of each of its runs, written by another worker.

Three workers carry runs whose agent speaks ten times a second. The one with the most runs is killed
with -9, and another starts in its stead under another name, so that nothing but missed heartbeats
tells of the death.
"""

import asyncio
import random
from datetime import UTC, datetime
from uuid import UUID

from benchmarks.fleet import Fleet
from benchmarks.idle import TALK
from benchmarks.parts import database, folder
from benchmarks.table import Figures, Series

WORKERS = 3
RUNS = 12
BOUND_SECONDS = 30
SEED = 7
SETTINGS = {
    "default": (5, {}),
    "shortened": (10, {"WORKER_HEARTBEAT_SECONDS": "0.5", "WORKER_LEASE_SECONDS": "2"}),
}
"""How often a worker is killed, and its workers' settings."""


async def measure() -> Figures:
    found = []
    for name, (kills, settings) in SETTINGS.items():
        with database() as url, folder("takeover") as home:
            fleet = Fleet(url, home, settings | {"WORKER_CONCURRENCY": str(RUNS)})
            try:
                found.append(await _kills(fleet, name, kills))
            finally:
                await fleet.close()
    return Figures(
        "Takeover: from kill -9 of a worker to its runs' next events by others",
        found,
        facts=[
            ("runs", f"each run of a killed worker counts; {RUNS} runs on {WORKERS} workers"),
            ("asked", f"p95 within {BOUND_SECONDS} s"),
        ],
    )


async def _kills(fleet: Fleet, name: str, kills: int) -> Series:
    settings = fleet.settings
    beat, lease = settings.worker_heartbeat_seconds, settings.worker_lease_seconds
    series = Series(f"{name}: heartbeat {beat:g} s, lease {lease:g} s", [])
    chance = random.Random(SEED)
    for _ in range(WORKERS):
        fleet.start()
    for _ in range(RUNS):
        await fleet.enqueue(TALK)
    while len(_speaking(fleet)) < RUNS:  # noqa: ASYNC110 - other processes make them
        await asyncio.sleep(0.1)
    for _ in range(kills):
        await asyncio.sleep(chance.uniform(0, beat))
        series.seconds.extend(await _kill_one(fleet))
        fleet.start()
    return series


async def _kill_one(fleet: Fleet) -> list[float]:
    """Kill the worker with the most runs; how long each of them was without an event."""
    owned: dict[str, list[UUID]] = {}
    for run, owner in _speaking(fleet):
        owned.setdefault(owner, []).append(run)
    busiest = max(owned, key=lambda one: len(owned[one]))
    fleet.kill(busiest)
    killed = datetime.now(UTC)
    while len(resumed := fleet.rows(_NEXT, owned[busiest], killed)) < len(owned[busiest]):  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    return [(at - killed).total_seconds() for (at,) in resumed]


def _speaking(fleet: Fleet) -> list[tuple[UUID, str]]:
    """The runs that have an owner and whose agent has spoken: run and the owner's name."""
    return [(run, owner) for run, owner in fleet.rows(_OWNED)]


_OWNED = """
    SELECT runs.id, workers.name FROM runs JOIN workers ON workers.id = runs.owner
    WHERE EXISTS (SELECT FROM run_events WHERE run_id = runs.id AND kind = 'text')
"""
_NEXT = "SELECT min(time) FROM run_events WHERE run_id = ANY(%s) AND time > %s GROUP BY run_id"
