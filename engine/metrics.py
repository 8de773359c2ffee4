"""What is counted: in memory as it happens, added to the database's totals every few seconds.

Many processes count and any web process answers for all of them, so the totals live in the database;
they survive restarts and never shrink. What a process that is killed had not handed in yet is lost,
a few seconds at most.
"""

import asyncio
import bisect
import json
import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import get_args

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from engine.db import Database
from engine.models import MetricTotal, Run, RunStatus, WebProcess, Worker, now

log = logging.getLogger(__name__)

STATES: tuple[str, ...] = get_args(RunStatus)
HAND_IN_SECONDS = 5.0
SUM = "sum"
INFINITE = "+Inf"

Key = tuple[str, str, str]
"""Name, labels as JSON, part: the primary key of a total."""


@dataclass(frozen=True, slots=True)
class Counted:
    """A metric that only grows. A histogram has `buckets`, upper bounds in seconds."""

    help: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()


STEP_SECONDS = "openlinear_step_duration_seconds"
STEP_FAILURES = "openlinear_step_failures"
RUN_ENDS = "openlinear_run_ends"
CONTAINER_STARTS = "openlinear_container_starts"
EVENT_LAG = "openlinear_event_lag_seconds"
HTTP_REQUESTS = "openlinear_http_requests"
HTTP_SECONDS = "openlinear_http_request_duration_seconds"

COUNTED = {
    STEP_SECONDS: Counted(
        "How long a step of a run took, by what it came to.",
        ("step", "result"),
        (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600),
    ),
    STEP_FAILURES: Counted(
        "Steps that ended their run as failed, by the class of the error.", ("step", "kind")
    ),
    RUN_ENDS: Counted("Runs that a worker brought to their end.", ("status", "kind")),
    CONTAINER_STARTS: Counted("Sandboxes started; waking a paused one is none.", ("sandbox",)),
    EVENT_LAG: Counted(
        "From the writing of a run's event to its handing on: read from the database, "
        "sent to a board's websocket, or sent to a program's stream.",
        ("way",),
        (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    ),
    HTTP_REQUESTS: Counted("HTTP requests answered, by the route's template.", ("method", "route", "status")),
    HTTP_SECONDS: Counted(
        "How long an HTTP answer took, streams left out.",
        ("route",),
        (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    ),
}


class Totals:
    """This process's share. Counting is a dictionary's update; nothing waits for the database."""

    def __init__(self) -> None:
        self._fresh: defaultdict[Key, float] = defaultdict(float)

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        self._add(name, labels, "", amount)

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        bounds = COUNTED[name].buckets
        place = bisect.bisect_left(bounds, seconds)
        self._add(name, labels, repr(float(bounds[place])) if place < len(bounds) else INFINITE, 1)
        self._add(name, labels, SUM, seconds)

    def _add(self, name: str, labels: Mapping[str, str], part: str, amount: float) -> None:
        if set(labels) != set(COUNTED[name].labels):
            raise ValueError(f"{name} is counted by {COUNTED[name].labels}")
        self._fresh[name, json.dumps(labels, sort_keys=True), part] += amount

    async def hand_in(self, session: AsyncSession) -> None:
        """Add what is fresh to the totals, in the caller's transaction, which should end soon.

        All processes write in the order of the keys, so that none waits for another in a circle.
        When it is raised here, nothing was added, and all is kept for the next time.
        """
        fresh, self._fresh = self._fresh, defaultdict(float)
        rows = [
            {"name": name, "labels": labels, "part": part, "value": value}
            for (name, labels, part), value in sorted(fresh.items())
        ]
        if not rows:
            return
        query = insert(MetricTotal)
        grown = col(MetricTotal.value) + query.excluded.value
        try:
            await session.execute(
                query.on_conflict_do_update(index_elements=["name", "labels", "part"], set_={"value": grown}),
                rows,
            )
        except BaseException:
            for key, value in fresh.items():
                self._fresh[key] += value
            raise

    async def serve(self, database: Database) -> None:
        """Hand in again and again, until cancelled."""
        while True:
            await asyncio.sleep(HAND_IN_SECONDS)
            await self.last(database)

    async def last(self, database: Database) -> None:
        """Hand in now. An outage is waited out: what was counted stays."""
        try:
            async with asyncio.timeout(2.0), database.transaction() as session:
                await self.hand_in(session)
        except Exception as error:
            log.warning("what was counted could not be handed in: %s", type(error).__name__)


totals = Totals()
"""This process's share."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How things are, over all processes."""

    queued: int
    oldest_queued: float
    """Seconds the first of the queue has waited; 0 when none waits."""
    runs: dict[str, int]
    """How many rows of each status there are; a deleted task's are gone."""
    workers: dict[str, int]
    """`able`, `unable` (alive, but its sandbox cannot run agents), `gone` (missed its heartbeats)."""
    web_processes: int
    websockets: int
    totals: dict[Key, float]


async def read(session: AsyncSession, lease_seconds: float) -> Reading:
    """All of it, in one transaction. A worker without a heartbeat for `lease_seconds` is gone."""
    waiting = select(func.count(), func.min(col(Run.created_at))).where(
        col(Run.ended_at).is_(None), col(Run.started_at).is_(None)
    )
    queued, oldest = (await session.execute(waiting)).one()
    by_status = await session.execute(select(col(Run.status), func.count()).group_by(col(Run.status)))
    workers = {"able": 0, "unable": 0, "gone": 0}
    alive = _fresh(Worker, lease_seconds)
    for is_alive, trouble in await session.execute(select(alive, col(Worker.trouble))):
        workers["gone" if not is_alive else "unable" if trouble else "able"] += 1
    web = select(func.count(), func.coalesce(func.sum(col(WebProcess.websockets)), 0))
    alive = _fresh(WebProcess, 3 * HAND_IN_SECONDS)
    processes, websockets = (await session.execute(web.where(alive))).one()
    rows = await session.execute(select(MetricTotal))
    return Reading(
        queued=queued,
        oldest_queued=(now() - oldest).total_seconds() if oldest else 0.0,
        runs={row[0]: row[1] for row in by_status},
        workers=workers,
        web_processes=processes,
        websockets=int(websockets),
        totals={(row.name, row.labels, row.part): row.value for row in rows.scalars()},
    )


def _fresh(table: type[Worker | WebProcess], seconds: float) -> ColumnElement[bool]:
    """Whether a sign of life is no older, by the one clock that all share: the database's."""
    return col(table.seen_at) > func.clock_timestamp() - timedelta(seconds=seconds)


async def web_alive(session: AsyncSession, process: str, websockets: int) -> None:
    """A web process's sign of life. Those that went silent are forgotten after a minute."""
    values = {"id": process, "seen_at": func.clock_timestamp(), "websockets": websockets}
    query = insert(WebProcess).values(**values)
    await session.execute(query.on_conflict_do_update(index_elements=["id"], set_=values))
    await session.execute(delete(WebProcess).where(~_fresh(WebProcess, 60.0)))
