"""Batches over HTTP: many tasks, one pull request."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field, StrictBool

from engine.batches.client import BatchView, MemberView
from openlinear.api.fields import Behavior, Mode, Time
from openlinear.api.once import Once
from openlinear.api.projects import Limit
from openlinear.api.runs import Accepted
from openlinear.api.security import Me, Session
from openlinear.api.shapes import Clash, Items, Shape
from openlinear.services import batches, cards, paging

router = APIRouter(prefix="/api/batches", tags=["batches"])


class NewBatch(Shape):
    """What is left out is as the caller's settings say."""

    task_ids: list[UUID] = Field(max_length=1000)
    mode: Mode
    auto_approve: StrictBool | None = None
    stop_on_failure: StrictBool | None = None
    conflict_behavior: Behavior | None = None
    build_on_previous: StrictBool | None = None


class BatchTask(Shape):
    task_id: UUID
    run_id: UUID
    reference: str
    title: str
    status: str
    reason: str | None
    run_status: str
    progress: int
    message: str
    awaits_approval: bool
    turn: int
    output: str
    clashes: list[Clash]
    branch: str
    pushed: bool
    additions: int
    deletions: int
    files_changed: int
    cost: float
    started_at: Time | None
    handed_in_at: Time | None
    ended_at: Time | None

    @classmethod
    def of(cls, view: MemberView) -> "BatchTask":
        own = {name: getattr(view, name) for name in cls.model_fields if name != "clashes"}
        return cls(**own, clashes=[Clash.model_validate(one) for one in cards.clashes(view.clashes)])


class Trial(Shape):
    """What the project's checks said of one merged state."""

    label: str
    passed: bool
    command: str = Field(description="The one that failed; empty where none did.")
    exit_code: int | None = Field(description="Null where the command did not end by itself.")
    output: str
    seconds: float


class Batch(Shape):
    id: UUID
    project_id: UUID
    user_id: UUID
    created_at: Time
    started_at: Time | None
    ended_at: Time | None
    mode: str
    status: str
    message: str
    error: str | None
    auto_approve: bool
    stop_on_failure: bool
    conflict_behavior: str
    build_on_previous: bool
    checks: list[str]
    branch_name: str | None
    pr_url: str | None
    pr_number: int | None
    trials: list[Trial]
    cancelling: bool
    tasks: list[BatchTask]

    @classmethod
    def of(cls, view: BatchView) -> "Batch":
        """The branch is named once it is on the remote."""
        own = {name: getattr(view, name) for name in cls.model_fields if name not in ("branch_name", "tasks")}
        tasks = [BatchTask.of(task) for task in view.tasks]
        return cls(**own, tasks=tasks, branch_name=view.branch if view.pushed else None)


class Started(Shape):
    id: UUID


@router.post("", status_code=202)
async def create(body: NewBatch, session: Session, actor: Me, once: Once) -> Started:
    wanted = batches.BatchInput(**{**body.model_dump(), "task_ids": tuple(body.task_ids)})

    async def work() -> Started:
        return Started(id=(await batches.create(session, actor, wanted)).id)

    return await once.answer(session, actor, Started, work)


@router.get("")
async def index(
    session: Session,
    actor: Me,
    *,
    project_id: Annotated[UUID | None, Query(alias="projectId")] = None,
    limit: Limit = paging.LIMIT,
    cursor: str | None = None,
) -> Items[Batch]:
    """The newest first."""
    page = await batches.list_batches(session, actor, project_id=project_id, limit=limit, cursor=cursor)
    return Items(items=[Batch.of(batch) for batch in page.items], next_cursor=page.next_cursor)


@router.get("/{batch_id}")
async def show(batch_id: UUID, session: Session, actor: Me) -> Batch:
    return Batch.of(await batches.batch(session, actor, batch_id))


@router.post("/{batch_id}/approve", status_code=202)
async def approve(batch_id: UUID, session: Session, actor: Me) -> Accepted:
    """Let a queue go on that waits between two tasks."""
    await batches.approve(session, actor, batch_id)
    return Accepted()


@router.post("/{batch_id}/cancel", status_code=202)
async def cancel(batch_id: UUID, session: Session, actor: Me) -> Accepted:
    await batches.cancel(session, actor, batch_id)
    return Accepted()


@router.post("/{batch_id}/tasks/{task_id}/cancel", status_code=202)
async def cancel_task(batch_id: UUID, task_id: UUID, session: Session, actor: Me) -> Accepted:
    """Take one task out of the batch; the others go on."""
    await batches.cancel_task(session, actor, batch_id, task_id)
    return Accepted()


@router.post("/{batch_id}/retry", status_code=202)
async def retry(batch_id: UUID, session: Session, actor: Me, once: Once) -> Started:
    """A new batch of what this one left out."""

    async def work() -> Started:
        return Started(id=(await batches.retry(session, actor, batch_id)).id)

    return await once.answer(session, actor, Started, work)
