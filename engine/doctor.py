"""What the engine knows of its own health, for `openlinear doctor`: read, never changed."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from engine.models import Run, RunEvent, Worker, now
from engine.sandbox.inspect import DockerSeen, ProcessSeen, chosen, docker_seen, process_seen
from engine.settings import EngineSettings

__all__ = [
    "DockerSeen",
    "ProcessSeen",
    "Standing",
    "WorkerSeen",
    "chosen",
    "docker_seen",
    "process_seen",
    "standing",
]

STILL_FACTOR = 2.0
"""A run's watchdogs end it when its agent is idle or late; this many times later, they have failed too."""
NAMED = 5


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    name: str
    silent: float
    """Seconds since its last heartbeat."""
    alive: bool
    trouble: str | None


@dataclass(frozen=True, slots=True)
class Standing:
    """The engine's work, as its tables tell it."""

    workers: tuple[WorkerSeen, ...]
    queued: int
    oldest_queued: float
    """Seconds the first of the queue has waited."""
    under_way: int
    still: tuple[UUID, ...]
    """A few of those under way of which nothing was heard for long, and which wait for nobody."""


async def standing(session: AsyncSession, settings: EngineSettings) -> Standing:
    moment = now()
    silence = func.extract("epoch", func.clock_timestamp() - col(Worker.seen_at))
    rows = await session.execute(select(Worker, silence).order_by(col(Worker.name)))
    open_runs = select(func.count(), func.min(col(Run.created_at))).where(col(Run.ended_at).is_(None))
    queued, oldest = (await session.execute(open_runs.where(col(Run.started_at).is_(None)))).one()
    under_way, _ = (await session.execute(open_runs.where(col(Run.started_at).is_not(None)))).one()
    return Standing(
        workers=tuple(
            WorkerSeen(row.name, float(silent), float(silent) < settings.worker_lease_seconds, row.trouble)
            for row, silent in rows
        ),
        queued=queued,
        oldest_queued=(moment - oldest).total_seconds() if oldest else 0.0,
        under_way=under_way,
        still=await _still(session, settings),
    )


async def _still(session: AsyncSession, settings: EngineSettings) -> tuple[UUID, ...]:
    last = select(func.max(col(RunEvent.time))).where(col(RunEvent.run_id) == col(Run.id)).scalar_subquery()
    long_ago = now() - timedelta(seconds=STILL_FACTOR * settings.run_idle_seconds)
    query = select(col(Run.id)).where(
        col(Run.ended_at).is_(None),
        col(Run.started_at) < long_ago,
        col(Run.status) != "waiting",
        func.coalesce(last, col(Run.started_at)) < long_ago,
    )
    return tuple((await session.execute(query.order_by(col(Run.started_at)).limit(NAMED))).scalars())
