"""Whose run it is: one worker process at a time, told by a number that only grows.

A worker takes a run from DBOS's queue and claims it: the run's fence grows, and everything that this
execution writes carries the new number (`engine.record`). When the worker misses its heartbeats, its
row in `workers` goes and its workflows go back to the queue, all in one transaction. Should it wake
up later, its claims find another executor, its writes an older fence: both raise `Superseded`, and
the process itself ends at its next heartbeat (`engine.worker`).

The statements on DBOS's own table do what its recovery does (`reenqueue_for_recovery` of DBOS 3.4),
in our transaction, and for every executor that has no live worker behind it.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, exists, func, select, text, tuple_, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from engine.db import Database
from engine.models import ENDED, OVER, Batch, Member, Run
from engine.queues import APPLICATION_VERSION, BATCHES, CHECKS, RUNS

CANCEL_SECONDS = 1.0
"""How long a run's owner has to take up a cancellation, before any other worker does."""
CANCELLING_SECONDS = 3.0
"""How long whoever took it up has to record the end, before the next worker tries."""
CLEARING_SECONDS = 60.0
"""How long an ended run's owner has to clear up after it."""


class Superseded(BaseException):
    """Another execution owns the run now. Nothing may be written, recorded or cleaned up: just leave.

    No `Exception`, so that no step's error handling records it as its result.
    """


@dataclass(frozen=True, slots=True)
class Hold:
    """The right to write the history of a run or of a batch, until somebody else claims it."""

    id: UUID
    fence: int


async def claim(database: Database, run_id: UUID, worker: str, workflow: str) -> Hold | None:
    """Take the run whose workflow DBOS handed to this worker; None when it has ended and is cleared.

    Superseded when the workflow has meanwhile been handed to another.
    """
    async with database.transaction() as session:
        await _require_handed(session, workflow, worker)
        run = await session.get_one(Run, run_id, with_for_update=True)
        if run.cleared_at is not None or not await _current(session, Run, run_id, workflow):
            return None
        return _seize(run, worker)


async def claim_batch(database: Database, batch_id: UUID, worker: str, workflow: str) -> Hold | None:
    """The same for a batch that is to be merged; None when it is over and its runs are cleared."""
    async with database.transaction() as session:
        await _require_handed(session, workflow, worker)
        batch = await session.get_one(Batch, batch_id, with_for_update=True)
        if not await _current(session, Batch, batch_id, workflow):
            return None
        if batch.status != "merging" and not (batch.status in OVER and await _uncleared(session, batch_id)):
            return None
        batch.fence += 1
        batch.owner = worker
        return Hold(batch.id, batch.fence)


async def claim_member(session: AsyncSession, run_id: UUID, worker: str, *, pushed: bool) -> Hold | None:
    """Take a run whose work its batch has. None where it has ended, or was cancelled before it was pushed."""
    run = await session.get_one(Run, run_id, with_for_update=True, populate_existing=True)
    if run.status in ENDED or (run.cancel_requested_at is not None and not pushed):
        return None
    return _seize(run, worker)


async def claim_to_clear(session: AsyncSession, run_id: UUID, worker: str) -> Hold | None:
    """Take an ended run that nobody has cleared up after; None where somebody has."""
    run = await session.get_one(Run, run_id, with_for_update=True, populate_existing=True)
    return _seize(run, worker) if run.status in ENDED and run.cleared_at is None else None


async def _uncleared(session: AsyncSession, batch_id: UUID) -> bool:
    left = exists().where(col(Run.batch_id) == batch_id, col(Run.cleared_at).is_(None))
    return bool(await session.scalar(select(left)))


async def _current(session: AsyncSession, table: type[Run | Batch], subject: UUID, workflow: str) -> bool:
    """Whether this is the latest of the subject's workflows. In a batch there may be several, one after the
    other: what is left to do of an older one is to be recorded alone, and must take nothing from the latest.
    """
    latest = select(_LATEST[table]).where(col(table.id) == subject)
    return await session.scalar(latest) == _named(workflow)[1]


async def _require_handed(session: AsyncSession, workflow: str, worker: str) -> None:
    if not await session.scalar(_HANDED, {"workflow": workflow, "worker": worker}):
        raise Superseded


async def claim_abandoned(database: Database, worker: str) -> list[Hold]:
    """Take the runs whose owner does not end them: cancelled but not stopped, ended but not cleared."""
    async with database.transaction() as session:
        query = select(Run).where(col(Run.cleared_at).is_(None), _ABANDONED).limit(20)
        runs = (await session.execute(query.with_for_update(skip_locked=True))).scalars()
        return [_seize(run, worker) for run in runs]


async def claim_untidied(database: Database, worker: str, limit: int = 20) -> list[Hold]:
    """Take ended, cleared runs whose workspace had to stay: what prevented its keeping may be over."""
    async with database.transaction() as session:
        stays = col(Run.tidied_at).is_(None) & col(Run.base_sha).is_not(None)
        query = select(Run).where(stays, col(Run.cleared_at).is_not(None)).limit(limit)
        query = query.order_by(func.random()).with_for_update(skip_locked=True)
        return [_seize(run, worker) for run in (await session.execute(query)).scalars()]


def _seize(run: Run, worker: str) -> Hold:
    run.fence += 1
    run.owner = worker
    if run.cancel_requested_at is not None or run.status in ENDED:
        run.cancel_taken_at = func.clock_timestamp()  # type: ignore[assignment]
    return Hold(run.id, run.fence)


def require(subject: Run | Batch, hold: Hold) -> None:
    """Superseded unless `hold` still is the subject's, which is locked, or this is a mere look."""
    if subject.fence != hold.fence:
        raise Superseded


async def take_over(
    session: AsyncSession, *, dead: str | None, lease_seconds: float
) -> tuple[list[str], list[str]]:
    """Hand what nobody carries on back to the queue: the workers that were struck off, and the workflows.

    Struck off is who gave no sign of life for `lease_seconds`, and every process of the name `dead`.
    Takes part in the caller's transaction.
    """
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('takeover', 0))"))
    struck = await session.execute(_STRIKE_OFF, {"lease": lease_seconds, "name": dead})
    workers = [str(worker) for (worker,) in struck]
    return workers, await _requeue(session, _WITHOUT_WORKER, {})


async def hand_over(session: AsyncSession, worker: str) -> list[str]:
    """Sign off: this process's workflows go to others, and nothing more is claimed by it."""
    await session.execute(text("DELETE FROM workers WHERE id = :worker"), {"worker": worker})
    return await _requeue(session, "executor_id = :worker", {"worker": worker})


async def _requeue(session: AsyncSession, which: str, values: dict[str, str]) -> list[str]:
    """Back to the queue, and fenced off from whoever had them.

    Checkpoints of another version of the workflows' code are dropped, since its steps may differ; every
    step finds in the run's row what was done already.
    """
    found = await session.execute(
        text(_REQUEUE.format(which=which)).bindparams(bindparam("queues", expanding=True)),
        {**values, "queues": [RUNS, BATCHES, CHECKS], "version": APPLICATION_VERSION},
    )
    workflows = [str(workflow) for (workflow,) in found]
    subjects = [named for workflow in workflows if (named := _named(workflow))[0] is not None]
    for table in (Run, Batch) if subjects else ():
        mine = update(table).where(tuple_(col(table.id), _LATEST[table]).in_(subjects))
        mine = mine.execution_options(synchronize_session=False)
        await session.execute(mine.values(fence=col(table.fence) + 1, owner=None))
    return workflows


def _named(workflow: str) -> tuple[UUID | None, int]:
    """The run or batch of a workflow, whose id is `{id}` or `{id}:{how-manieth}`, and the how-manieth of its
    workflows this is; None for a look-up's."""
    subject, _, number = workflow.partition(":")
    try:
        return UUID(subject), int(number or 1)
    except ValueError:
        return None, 1


_TURN = select(col(Member.turn)).where(col(Member.run_id) == col(Run.id)).correlate(Run).scalar_subquery()
_LATEST: dict[type[Run | Batch], ColumnElement[int]] = {
    Run: func.coalesce(_TURN, 1),
    Batch: col(Batch.round),  # type: ignore[dict-item]
}
"""The how-manieth of its workflows is the latest."""

_HANDED = text(
    "SELECT true FROM dbos.workflow_status"
    " WHERE workflow_uuid = :workflow AND status = 'PENDING' AND executor_id = :worker FOR SHARE"
)
_STRIKE_OFF = text(
    "DELETE FROM workers WHERE seen_at < clock_timestamp() - make_interval(secs => :lease)"
    " OR name = CAST(:name AS varchar) RETURNING id"
)
_WITHOUT_WORKER = "executor_id NOT IN (SELECT id FROM workers)"
_REQUEUE = """
WITH left_behind AS (
    SELECT workflow_uuid, application_version FROM dbos.workflow_status
    WHERE queue_name IN :queues AND (
        (status = 'PENDING' AND {which})
        OR (status = 'ENQUEUED' AND application_version NOT IN (SELECT version FROM workers))
    ) FOR UPDATE
), outdated AS (
    DELETE FROM dbos.operation_outputs USING left_behind
    WHERE operation_outputs.workflow_uuid = left_behind.workflow_uuid
        AND left_behind.application_version IS DISTINCT FROM :version
        AND EXISTS (SELECT FROM workers WHERE version = :version)
)
UPDATE dbos.workflow_status SET
    status = 'ENQUEUED', owner_xid = NULL, started_at_epoch_ms = NULL,
    updated_at = (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
    application_version = CASE WHEN EXISTS (SELECT FROM workers WHERE version = :version) THEN :version
        ELSE workflow_status.application_version END
FROM left_behind WHERE workflow_status.workflow_uuid = left_behind.workflow_uuid
RETURNING workflow_status.workflow_uuid
"""
_ABANDONED = text(
    f"""
    (runs.ended_at IS NULL AND runs.cancel_requested_at IS NOT NULL AND CASE
        WHEN runs.cancel_taken_at IS NULL
        THEN runs.cancel_requested_at < clock_timestamp() - interval '{CANCEL_SECONDS} seconds'
        ELSE runs.cancel_taken_at < clock_timestamp() - interval '{CANCELLING_SECONDS} seconds' END)
    OR (runs.ended_at IS NOT NULL
        AND GREATEST(runs.ended_at, runs.cancel_taken_at)
            < clock_timestamp() - interval '{CLEARING_SECONDS} seconds')
    """
)
