"""500 runs at once for two workers and an agent that does nothing: none lost, how fast, in what memory."""

import asyncio
from pathlib import Path
from uuid import UUID

from benchmarks.fleet import Fleet
from benchmarks.idle import NOTHING, PROJECTS
from benchmarks.parts import Watch, database, folder
from benchmarks.table import Figures

WORKERS = 2
RUNS = 500
WARM_UP = 100
"""Runs after which a worker's memory should grow no more."""
GROWTH = 5
"""Percent, at most."""


async def measure() -> Figures:
    with database() as url, folder("queue") as home:
        fleet = Fleet(url, home, {})
        try:
            pids = [fleet.start().pid for _ in range(WORKERS)]
            await _batch(fleet, WARM_UP)
            before = {pid: _resident(pid) for pid in pids}
            watch = Watch()
            runs = await _batch(fleet, RUNS)
            took = watch.seconds
            after = {pid: _resident(pid) for pid in pids}
            shares = fleet.rows(
                "SELECT count(*) FROM runs WHERE id = ANY(%s) GROUP BY owner ORDER BY 1", runs
            )
            lost, wrong = _check(fleet, runs)
        finally:
            await fleet.close()
    facts = [
        (
            "runs",
            f"{RUNS - lost} of {RUNS} done, {wrong} with a gap or double in their log (asked: none lost)",
        ),
        ("shares", " and ".join(str(share) for (share,) in shares)),
        ("throughput", f"{RUNS / took:.1f} runs a second"),
    ]
    for pid in pids:
        growth = 100 * (after[pid] / before[pid] - 1)
        facts.append(
            (
                "memory of a worker",
                f"{before[pid] / 1e6:.0f} MB after {WARM_UP} runs, {after[pid] / 1e6:.0f} MB after {RUNS} "
                f"more: {growth:+.1f} % (asked: under {GROWTH} %)",
            )
        )
    return Figures(f"Queue: {RUNS} runs on {WORKERS} workers", facts=facts)


async def _batch(fleet: Fleet, count: int) -> list[UUID]:
    """Enqueue so many, and wait until nothing is left of them to do."""
    runs = [await fleet.enqueue(NOTHING, PROJECTS[number % len(PROJECTS)]) for number in range(count)]
    async with asyncio.timeout(300):
        while fleet.rows(_LEFT, runs):  # noqa: ASYNC110 - other processes work on them
            await asyncio.sleep(0.2)
    return runs


_LEFT = "SELECT 1 FROM runs WHERE id = ANY(%s) AND cleared_at IS NULL LIMIT 1"


def _check(fleet: Fleet, runs: list[UUID]) -> tuple[int, int]:
    """How many are not done, and how many have a log that is not numbered from one, each end once."""
    done = fleet.rows("SELECT count(*) FROM runs WHERE id = ANY(%s) AND status = 'done'", runs)
    sound = fleet.rows(
        """
        SELECT count(*) FROM (
            SELECT run_id FROM run_events WHERE run_id = ANY(%s) GROUP BY run_id
            HAVING min(seq) = 1 AND max(seq) = count(*) AND count(*) FILTER (WHERE part = 'ended') = 1
        ) AS logs
        """,
        runs,
    )
    return len(runs) - done[0][0], len(runs) - sound[0][0]


def _resident(pid: int) -> int:
    """Bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
