"""What the product may call for batches: rows are read and written, nothing else is touched."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from engine.admission import AlreadyRunning, hold_admission, running
from engine.client import NewRun
from engine.models import OVER, Batch, Member, Run, now
from engine.signals import BATCHES, stir

TaskStatus = Literal["queued", "running", "completed", "failed", "skipped", "cancelled"]
SKIPPED = ("clash", "checks", "left_out")
"""Classes of ends that say nothing against the task's own work."""


@dataclass(frozen=True, slots=True)
class NewBatch:
    """`runs` in the order in which they are begun and merged; `waits_for` names tasks by their ids."""

    project_id: UUID
    user_id: UUID
    mode: str
    base_branch: str
    author_name: str
    author_email: str
    runs: tuple[NewRun, ...]
    waits_for: Mapping[UUID, Collection[UUID]] = field(default_factory=dict)
    auto_approve: bool = False
    stop_on_failure: bool = False
    conflict_behavior: str = "skip"
    build_on_previous: bool = False
    checks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MemberView:
    """A task of a batch. Times are UTC, cost is US dollars."""

    task_id: UUID
    run_id: UUID
    reference: str
    title: str
    status: TaskStatus
    reason: str | None
    run_status: str
    """As `RunView.status`."""
    progress: int
    message: str
    awaits_approval: bool
    """Its batch waits for somebody to look at this task's work."""
    turn: int
    """2 once its conflict went back to its agent."""
    output: str
    """What the check said that its merge broke."""
    clashes: list[dict[str, Any]]
    branch: str
    pushed: bool
    additions: int
    deletions: int
    files_changed: int
    cost: float
    started_at: datetime | None
    handed_in_at: datetime | None
    """When its work was there: it waits for the others' from then on."""
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class BatchView:
    id: UUID
    project_id: UUID
    user_id: UUID
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    mode: str
    status: str
    message: str
    error: str | None
    auto_approve: bool
    stop_on_failure: bool
    conflict_behavior: str
    build_on_previous: bool
    checks: tuple[str, ...]
    branch: str
    pushed: bool
    pr_url: str | None
    pr_number: int | None
    trials: tuple[dict[str, Any], ...]
    """The checks that were tried, oldest first: `engine.checks.Tried` with `label`."""
    cancelling: bool
    tasks: tuple[MemberView, ...]


class Batches:
    """Batches, as the product sees them. `session` arguments are the caller's."""

    async def start(self, session: AsyncSession, new: NewBatch) -> UUID:
        """Make the batch and its runs, all or none; the workers begin them once this is committed.

        AlreadyRunning with the tasks that have an open run.
        """
        await hold_admission(session, new.user_id)
        if busy := await running(session, [run.task_id for run in new.runs]):
            raise AlreadyRunning(busy)
        own = {name: value for name, value in asdict(new).items() if name not in ("runs", "waits_for")}
        batch = Batch(**{**own, "checks": list(new.checks)}, branch="")
        batch.branch = f"openlinear/batch-{batch.id}"
        session.add(batch)
        await session.flush()
        runs = [
            Run(
                **asdict(run),
                batch_id=batch.id,
                takes_slot=False,
                branch=f"openlinear/{run.task_id}",
                message="Waits for its turn",
            )
            for run in new.runs
        ]
        try:
            async with session.begin_nested():
                session.add_all(runs)
        except IntegrityError as error:  # somebody else pressed Execute in the same instant
            raise AlreadyRunning from error
        session.add_all(
            Member(
                run_id=run.id,
                batch_id=batch.id,
                position=position,
                waits_for=sorted(str(task_id) for task_id in new.waits_for.get(run.task_id, ())),
            )
            for position, run in enumerate(runs)
        )
        await session.flush()
        await stir(session, BATCHES)
        return batch.id

    async def approve(self, session: AsyncSession, batch_id: UUID) -> bool:
        """Let a batch that waits for somebody's word go on. False where it does not wait."""
        batch = await session.get(Batch, batch_id, with_for_update=True, populate_existing=True)
        if batch is None or batch.status != "waiting" or batch.cancel_requested_at is not None:
            return False
        seen = update(Member).where(col(Member.batch_id) == batch_id, col(Member.handed_in_at).is_not(None))
        await session.execute(seen.where(col(Member.approved_at).is_(None)).values(approved_at=now()))
        batch.status, batch.message = "running", ""
        await session.flush()
        await stir(session, BATCHES)
        return True

    async def cancel(self, session: AsyncSession, batch_id: UUID) -> bool:
        """Ask for the end of the batch and of all its runs. False where it has ended or is pushed.

        Asking twice changes nothing. The workers see it through, as they do for a run.
        """
        batch = await session.get(Batch, batch_id, with_for_update=True, populate_existing=True)
        if batch is None or batch.status in OVER or batch.pushed_sha is not None:
            return False
        batch.cancel_requested_at = batch.cancel_requested_at or now()
        await session.flush()
        still_open = update(Run).where(col(Run.batch_id) == batch_id, col(Run.ended_at).is_(None))
        stamped = await session.execute(
            still_open.where(col(Run.cancel_requested_at).is_(None))
            .values(cancel_requested_at=now())
            .returning(col(Run.id))
        )
        for watched in (BATCHES, batch_id, *stamped.scalars()):
            await stir(session, watched)
        return True

    async def batch(
        self, session: AsyncSession, batch_id: UUID, *, among: Collection[UUID] | None = None
    ) -> BatchView | None:
        """None where there is none; or none of these projects, of which no more is read then."""
        found = await self.some(session, [batch_id], among=among)
        return found[0] if found else None

    async def some(
        self, session: AsyncSession, batch_ids: Collection[UUID], *, among: Collection[UUID] | None = None
    ) -> list[BatchView]:
        """Those of these batches that are there; with `among`, in these projects, and no more is read."""
        query = select(Batch).where(col(Batch.id).in_(batch_ids))
        if among is not None:
            query = query.where(col(Batch.project_id).in_(among))
        found = list(await session.scalars(query.execution_options(populate_existing=True)))
        return await _views(session, found) if found else []

    async def batches(
        self,
        session: AsyncSession,
        project_ids: Collection[UUID],
        *,
        limit: int,
        before: tuple[datetime, UUID] | None = None,
        still_open: bool = False,
    ) -> list[BatchView]:
        """Batches of these projects, the newest first; with `before`, those older than that one."""
        newest = (col(Batch.created_at).desc(), col(Batch.id).desc())
        query = select(Batch).where(col(Batch.project_id).in_(project_ids)).order_by(*newest).limit(limit)
        if still_open:
            query = query.where(col(Batch.ended_at).is_(None))
        if before is not None:
            query = query.where(tuple_(col(Batch.created_at), col(Batch.id)) < before)
        return await _views(session, list(await session.scalars(query)))

    async def merging(self, session: AsyncSession, batch_id: UUID) -> bool:
        """Whether its tasks' work is being put together just now."""
        return await session.scalar(select(col(Batch.status)).where(col(Batch.id) == batch_id)) == "merging"

    async def open_of(
        self, session: AsyncSession, user_id: UUID, project_ids: Collection[UUID]
    ) -> list[UUID]:
        """This user's batches in these projects that are not over."""
        mine = (col(Batch.user_id) == user_id) & col(Batch.project_id).in_(project_ids)
        return list(await session.scalars(select(col(Batch.id)).where(mine, col(Batch.ended_at).is_(None))))


async def _views(session: AsyncSession, batches: list[Batch]) -> list[BatchView]:
    """All of them in one query more."""
    rows = await session.execute(
        select(Member, Run)
        .join(Run, col(Run.id) == col(Member.run_id))
        .where(col(Member.batch_id).in_([batch.id for batch in batches]))
        .order_by(col(Member.position))
        .execution_options(populate_existing=True)
    )
    members: dict[UUID, list[tuple[Member, Run]]] = {}
    for member, run in rows:
        members.setdefault(member.batch_id, []).append((member, run))
    return [_view(batch, members.get(batch.id, [])) for batch in batches]


def _view(batch: Batch, members: list[tuple[Member, Run]]) -> BatchView:
    return BatchView(
        id=batch.id,
        project_id=batch.project_id,
        user_id=batch.user_id,
        created_at=batch.created_at,
        started_at=batch.started_at,
        ended_at=batch.ended_at,
        mode=batch.mode,
        status=batch.status,
        message=batch.message,
        error=batch.error,
        auto_approve=batch.auto_approve,
        stop_on_failure=batch.stop_on_failure,
        conflict_behavior=batch.conflict_behavior,
        build_on_previous=batch.build_on_previous,
        checks=tuple(batch.checks),
        branch=batch.branch,
        pushed=batch.pushed_sha is not None,
        pr_url=batch.pr_url,
        pr_number=batch.pr_number,
        trials=tuple(batch.trials.values()),
        cancelling=batch.cancel_requested_at is not None and batch.status not in OVER,
        tasks=tuple(_member_view(batch, member, run) for member, run in members),
    )


def _member_view(batch: Batch, member: Member, run: Run) -> MemberView:
    status = task_status(member, run)
    return MemberView(
        task_id=run.task_id,
        run_id=run.id,
        reference=run.reference,
        title=run.title,
        status=status,
        reason=run.error or member.left_out,
        run_status=run.status,
        progress=run.progress,
        message=run.message,
        awaits_approval=batch.status == "waiting" and status == "completed" and member.approved_at is None,
        turn=member.turn,
        output=member.output,
        clashes=run.clashes,
        branch=run.branch,
        pushed=run.pushed_sha is not None,
        additions=run.additions,
        deletions=run.deletions,
        files_changed=run.files_changed,
        cost=run.cost,
        started_at=run.started_at,
        handed_in_at=member.handed_in_at,
        ended_at=run.ended_at,
    )


def task_status(member: Member, run: Run) -> TaskStatus:
    """What a batch says of one of its tasks: `completed` once its work is there, whatever comes of the merge
    for as long as that is not known.
    """
    if run.status == "done":
        return "completed"
    if run.status == "cancelled":
        return "cancelled"
    if run.status == "failed":
        return "skipped" if run.error_kind in SKIPPED else "failed"
    if member.left_out is not None:
        return "skipped"
    if member.handed_in_at is not None:
        return "completed"
    return "running" if member.begun == member.turn else "queued"
