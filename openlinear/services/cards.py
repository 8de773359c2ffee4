"""Task rows made into what people see, any number of them in a fixed number of queries."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select, tuple_
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from engine.client import RunView
from engine.limits import Limits
from openlinear.engine_client import engine_client
from openlinear.models import Label, Project, PullRequest, Task, TaskLabel, User
from openlinear.services.dependencies import dependencies
from openlinear.services.limits import in_force
from openlinear.services.views import Clash, ExecutionView, LabelView, TaskView

SEQ_BITS = 24


async def task_views(
    session: AsyncSession, rows: Sequence[tuple[Task, Project]], *, brief: bool = False
) -> list[TaskView]:
    """Views of these tasks, in their order. `brief` leaves descriptions out, loaded or not."""
    ids = [task.id for task, _ in rows]
    labels = await _labels(session, ids)
    names = await _names(session, {task.created_by for task, _ in rows if task.created_by})
    latest = await engine_client().latest(session, ids)
    needed = await dependencies(session, ids)
    proposals = await _proposals(session, latest.values())
    return [
        TaskView(
            id=task.id,
            project_id=task.project_id,
            identifier=f"{project.key}-{task.number}",
            title=task.title,
            description="" if brief else task.description,
            status=task.status,
            order=task.rank,
            priority=task.priority,
            labels=labels.get(task.id, ()),
            due_date=task.due_date,
            agent=task.agent,
            model=task.model,
            archived=task.archived,
            created_by=names.get(task.created_by, "") if task.created_by else "",
            created_at=task.created_at,
            updated_at=task.updated_at,
            version=_version(task, latest.get(task.id)),
            execution=_execution(latest.get(task.id), proposals),
            limits=Limits(**task.limits),
            waits_for=needed.get(task.id, ()),
        )
        for task, project in rows
    ]


async def task_view(session: AsyncSession, task: Task, project: Project) -> TaskView:
    return (await task_views(session, [(task, project)]))[0]


async def _proposals(session: AsyncSession, runs: Iterable[RunView]) -> Mapping[tuple[UUID, str], str]:
    """What is known of the pull requests of these runs, by project and address."""
    wanted = {(run.project_id, run.pr_url.lower()) for run in runs if run.pr_url}
    if not wanted:
        return {}
    query = select(PullRequest).where(tuple_(col(PullRequest.project_id), col(PullRequest.url)).in_(wanted))
    return {(row.project_id, row.url): row.state for row in await session.scalars(query)}


async def _labels(session: AsyncSession, task_ids: Sequence[UUID]) -> dict[UUID, tuple[LabelView, ...]]:
    found: dict[UUID, list[LabelView]] = {}
    if task_ids:
        rows = await session.execute(
            select(col(TaskLabel.task_id), Label)
            .join(Label, col(Label.id) == col(TaskLabel.label_id))
            .where(col(TaskLabel.task_id).in_(task_ids))
            .order_by(col(Label.name))
        )
        for task_id, label in rows:
            found.setdefault(task_id, []).append(label_view(label))
    return {task_id: tuple(labels) for task_id, labels in found.items()}


async def _names(session: AsyncSession, user_ids: set[UUID]) -> dict[UUID, str]:
    if not user_ids:
        return {}
    rows = await session.execute(select(col(User.id), col(User.name)).where(col(User.id).in_(user_ids)))
    return {row[0]: row[1] for row in rows}


def clashes(stored: Sequence[Mapping[str, Any]]) -> tuple[Clash, ...]:
    """What a run's row says of the tasks that its own would conflict with."""
    return tuple(Clash(UUID(one["taskId"]), one["reference"], tuple(one["files"])) for one in stored)


def label_view(label: Label) -> LabelView:
    return LabelView(label.id, label.name, label.color, label.team_id)


def _version(task: Task, run: RunView | None) -> int:
    """Grows with the task's changes, and between them with its run's events.

    A new run begins at event 0, but Execute has changed the task by then.
    """
    return (task.version << SEQ_BITS) + (run.last_seq if run else 0)


_SAME = (
    *("status", "progress", "message", "error", "outcome", "user_id", "model", "branch"),
    *("pr_url", "pr_number", "additions", "deletions", "files_changed"),
    *("tokens_in", "tokens_out", "cost", "started_at", "ended_at", "created_at"),
    *("error_kind", "attempt", "attempts", "batch_id", "pushed"),
)


def _execution(run: RunView | None, proposals: Mapping[tuple[UUID, str], str]) -> ExecutionView | None:
    if run is None:
        return None
    same: dict[str, Any] = {name: getattr(run, name) for name in _SAME}
    state = proposals.get((run.project_id, run.pr_url.lower())) if run.pr_url else None
    return ExecutionView(
        run_id=run.id, limits=in_force(run.limits), clashes=clashes(run.clashes), pr_state=state, **same
    )
