"""Tasks: made, read, changed, moved, removed."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypedDict
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, delete, exists, func, or_, select, tuple_, update
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear.engine_client import engine_client
from openlinear.models import Label, Project, Task, TaskLabel, Team
from openlinear.models.columns import now
from openlinear.services import dependencies, labels, news, paging, ranks, text
from openlinear.services.access import require_project, require_task, visible_projects
from openlinear.services.cards import task_view, task_views
from openlinear.services.errors import Conflict
from openlinear.services.fields import checked
from openlinear.services.limits import LimitsPatch, changed
from openlinear.services.views import Actor, Page, TaskView


@dataclass(frozen=True, slots=True)
class TaskInput:
    """`labels` are ids or names of labels that exist. An empty model means the default."""

    project_id: UUID
    title: str
    description: str = ""
    priority: str | None = None
    labels: Sequence[str] = ()
    due_date: date | None = None
    agent: str = "opencode"
    model: str = ""
    limits: LimitsPatch | None = None
    waits_for: Collection[UUID] = ()


class TaskPatch(TypedDict, total=False):
    """The fields to change. A new `status` moves the card to the top of that column,
    unless `order` says where it goes."""

    title: str
    description: str
    priority: str | None
    labels: Sequence[str]
    due_date: date | None
    agent: str
    model: str
    status: str
    order: float
    archived: bool
    limits: LimitsPatch
    waits_for: Collection[UUID]


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """`label` is an id or a name; `q` is found in title, description or identifier."""

    project_id: UUID | None = None
    status: str | None = None
    label: str | None = None
    q: str | None = None
    archived: bool = False


async def task(session: AsyncSession, actor: Actor, task_id: UUID) -> TaskView:
    return await task_view(session, *await require_task(session, actor, task_id))


async def list_tasks(
    session: AsyncSession,
    actor: Actor,
    wanted: TaskFilter,
    *,
    limit: int = paging.LIMIT,
    cursor: str | None = None,
) -> Page[TaskView]:
    """The newest first. NotFound for a project that the actor may not see."""
    if wanted.project_id is not None:
        await require_project(session, actor, wanted.project_id)
    query = (
        select(Task, Project)
        .join(Project, col(Project.id) == col(Task.project_id))
        .where(visible_projects(actor), *_conditions(wanted))
        .order_by(col(Task.created_at).desc(), col(Task.id).desc())
        .limit(paging.limited(limit) + 1)
    )
    if cursor is not None:
        query = query.where(tuple_(col(Task.created_at), col(Task.id)) < paging.moment(cursor))
    rows = [(task, project) for task, project in await session.execute(query)]
    page, more = rows[:limit], len(rows) > limit
    last = page[-1][0] if more else None
    return Page(
        tuple(await task_views(session, page)),
        paging.encode([last.created_at.isoformat(), str(last.id)]) if last else None,
    )


async def create_task(session: AsyncSession, actor: Actor, wanted: TaskInput) -> TaskView:
    """A new card at the top of Todo."""
    fields = checked(
        {
            "title": wanted.title,
            "description": wanted.description,
            "priority": wanted.priority,
            "due_date": wanted.due_date,
            "agent": wanted.agent,
            "model": wanted.model,
        }
    )
    project = await require_project(session, actor, wanted.project_id, lock=True)
    limits = changed({}, wanted.limits or {})
    label_ids = await labels.found(session, project, wanted.labels)
    made = Task(
        id=uuid4(),
        project_id=project.id,
        number=await _next_number(session, project),
        rank=await ranks.top(session, project.id, "todo"),
        created_by=actor.id,
        limits=limits,
        **fields,
    )
    session.add(made)
    await session.flush()
    session.add_all(TaskLabel(task_id=made.id, label_id=label_id) for label_id in label_ids)
    if wanted.waits_for:
        await dependencies.change(session, made, project, wanted.waits_for)
    await news.tell(session, "task:created", actor.id, project_id=project.id, task_id=made.id)
    return await task_view(session, made, project)


async def update_task(session: AsyncSession, actor: Actor, task_id: UUID, patch: TaskPatch) -> TaskView:
    plain = {
        name: value for name, value in patch.items() if name not in ("labels", "order", "limits", "waits_for")
    }
    fields = checked(plain)
    found, project = await require_task(session, actor, task_id, lock=True)
    if fields.get("archived") and not found.archived:
        await _refuse_running(session, found, "archive it")
    if "limits" in patch:
        fields["limits"] = changed(found.limits, patch["limits"])
    if "order" in patch:
        fields["rank"] = patch["order"]
    elif fields.get("status", found.status) != found.status:
        fields["rank"] = await ranks.top(session, project.id, fields["status"])
    for name, value in fields.items():
        setattr(found, name, value)
    if "waits_for" in patch:
        await dependencies.change(session, found, project, patch["waits_for"])
    if "labels" in patch:
        await _relabel(session, found, await labels.found(session, project, patch["labels"]))
    return await _changed(session, actor, found, project)


async def move_task(
    session: AsyncSession,
    actor: Actor,
    task_id: UUID,
    status: str,
    *,
    before: UUID | None = None,
    after: UUID | None = None,
) -> TaskView:
    """Put a card into a column, under `before` and over `after`; without either, at its top."""
    checked({"status": status})
    _, project = await require_task(session, actor, task_id)
    await require_project(session, actor, project.id, lock=True)  # one move at a time, or none renumbers
    found, project = await require_task(session, actor, task_id, lock=True)
    rank = await ranks.between(session, found, status, before, after)
    await session.refresh(found)
    found.rank, found.status = rank, status
    return await _changed(session, actor, found, project)


async def delete_task(session: AsyncSession, actor: Actor, task_id: UUID) -> None:
    """Remove a task for good. To take it off the board in a way that can be undone, archive it."""
    found, project = await require_task(session, actor, task_id, lock=True)
    await _refuse_running(session, found, "delete it")
    await session.delete(found)
    await news.tell(session, "task:deleted", actor.id, project_id=project.id, task_id=task_id)


async def _next_number(session: AsyncSession, project: Project) -> int:
    """Counted by the project, whose row is locked; in a team by the team, over all its projects."""
    if project.team_id is None:
        project.task_counter += 1
        return project.task_counter
    counted = update(Team).where(col(Team.id) == project.team_id)
    query = counted.values(task_counter=col(Team.task_counter) + 1).returning(col(Team.task_counter))
    number: int = (await session.execute(query)).scalar_one()
    return number


async def _changed(session: AsyncSession, actor: Actor, found: Task, project: Project) -> TaskView:
    found.version += 1
    found.updated_at = now()
    await news.tell(session, "task:updated", actor.id, project_id=project.id, task_id=found.id)
    return await task_view(session, found, project)


async def _relabel(session: AsyncSession, found: Task, label_ids: list[UUID]) -> None:
    await session.execute(delete(TaskLabel).where(col(TaskLabel.task_id) == found.id))
    session.add_all(TaskLabel(task_id=found.id, label_id=label_id) for label_id in label_ids)


async def _refuse_running(session: AsyncSession, found: Task, what: str) -> None:
    run = (await engine_client().latest(session, [found.id])).get(found.id)
    if run is not None and run.ended_at is None:
        raise Conflict(f"The task is running. Cancel it first, then {what}.")


def _conditions(wanted: TaskFilter) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = [col(Task.archived).is_(wanted.archived)]
    if wanted.project_id is not None:
        where.append(col(Task.project_id) == wanted.project_id)
    if wanted.status is not None:
        checked({"status": wanted.status})
        where.append(col(Task.status) == wanted.status)
    if wanted.label is not None:
        where.append(_labelled(text.line(wanted.label, "label", limit=200)))
    if wanted.q:
        q = text.line(wanted.q, "q", limit=500, required=False)
        identifier = func.concat(col(Project.key), "-", col(Task.number))
        where.append(
            or_(
                col(Task.title).icontains(q, autoescape=True),
                col(Task.description).icontains(q, autoescape=True),
                func.lower(identifier) == q.lower(),
            )
        )
    return where


def _labelled(label: str) -> ColumnElement[bool]:
    label_id = labels.as_uuid(label)
    named = func.lower(col(Label.name)) == label.lower()
    return exists(
        select(col(TaskLabel.task_id))
        .join(Label, col(Label.id) == col(TaskLabel.label_id))
        .where(
            col(TaskLabel.task_id) == col(Task.id),
            or_(col(Label.id) == label_id, named) if label_id else named,
        )
    )
