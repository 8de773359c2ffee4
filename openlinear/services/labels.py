"""Labels: a user's, for the tasks of their own projects, or a team's, for those of its projects."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear.models import Label, Project, Task, TaskLabel
from openlinear.services import news, text
from openlinear.services.access import require_project, require_team, visible_labels
from openlinear.services.cards import label_view
from openlinear.services.errors import Conflict, Invalid, NotFound
from openlinear.services.views import Actor, LabelView

NAME_LIMIT = 50
MOST_PER_TASK = 20
MOST_TOLD = 50
"""Tasks that a change of their label is told of one by one."""
COLORS = (
    *(
        "slate",
        "gray",
        "red",
        "ruby",
        "crimson",
        "pink",
        "plum",
        "purple",
        "violet",
        "iris",
        "indigo",
        "blue",
    ),
    *("cyan", "sky", "teal", "jade", "green", "grass", "lime", "mint", "yellow", "amber", "orange", "brown"),
    "tomato",
)


async def list_labels(session: AsyncSession, actor: Actor, team_id: UUID | None = None) -> list[LabelView]:
    """The team's, or all that the actor may use: their own and their teams'. By name."""
    if team_id is None:
        return await _listed(session, visible_labels(actor))
    await require_team(session, actor, team_id)
    return await _listed(session, col(Label.team_id) == team_id)


async def for_project(session: AsyncSession, actor: Actor, project_id: UUID) -> list[LabelView]:
    """What the project's tasks may wear, by name."""
    return await _listed(session, _of(await require_project(session, actor, project_id)))


async def create_label(
    session: AsyncSession, actor: Actor, name: str, color: str = "slate", *, team_id: UUID | None = None
) -> LabelView:
    """One of the actor's own, or of the team's."""
    name, color = text.line(name, "name", limit=NAME_LIMIT), _color(color)
    label = Label(name=name, color=color)
    if team_id is None:
        label.user_id = actor.id
    else:
        await require_team(session, actor, team_id)
        label.team_id = team_id
    return await _saved(session, label, name, color)


async def create_for_project(
    session: AsyncSession, actor: Actor, project_id: UUID, name: str, color: str
) -> LabelView:
    """One that the project's tasks may wear."""
    project = await require_project(session, actor, project_id)
    return await create_label(session, actor, name, color, team_id=project.team_id)


async def update_label(
    session: AsyncSession, actor: Actor, label_id: UUID, *, name: str | None = None, color: str | None = None
) -> LabelView:
    """Rename or recolour it. Those who look at its tasks hear of that."""
    label = await _own(session, actor, label_id)
    before = (label.name, label.color)
    name = label.name if name is None else text.line(name, "name", limit=NAME_LIMIT)
    saved = await _saved(session, label, name, label.color if color is None else _color(color))
    if (saved.name, saved.color) != before:
        await _tell(session, actor, await _wearers(session, label_id))
    return saved


async def delete_label(session: AsyncSession, actor: Actor, label_id: UUID) -> None:
    """Remove it, from every task as well. Those who look at them hear of that."""
    label = await _own(session, actor, label_id)
    wearers = await _wearers(session, label_id)
    await session.delete(label)
    await _tell(session, actor, wearers)


async def found(session: AsyncSession, project: Project, wanted: Sequence[str]) -> list[UUID]:
    """The ids of these labels, each named by id or by name. Invalid names one that the project's tasks
    may not wear.
    """
    if len(wanted) > MOST_PER_TASK:
        raise Invalid(
            f"A task has at most {MOST_PER_TASK} labels.", labels=f"at most {MOST_PER_TASK} per task"
        )
    if not wanted:
        return []
    names = {text.line(value, "labels", limit=200).lower(): value for value in wanted}
    ids = [label_id for value in names if (label_id := as_uuid(value))]
    rows = await session.scalars(
        select(Label).where(
            _of(project),
            or_(col(Label.id).in_(ids), func.lower(col(Label.name)).in_(list(names))),
        )
    )
    labels = list(rows)
    known = {label.name.lower() for label in labels} | {str(label.id) for label in labels}
    for key, value in names.items():
        if key not in known:
            raise Invalid(f'There is no label "{value}".', labels=f'no label "{value}"')
    return [label.id for label in labels]


def as_uuid(value: str) -> UUID | None:
    try:
        return UUID(value)
    except ValueError:
        return None


async def _wearers(session: AsyncSession, label_id: UUID) -> list[tuple[UUID, UUID | None]]:
    """(project, task) of the tasks that wear it; of very many, their projects alone."""
    worn = col(TaskLabel.label_id) == label_id
    query = select(col(Task.project_id), col(Task.id)).join(TaskLabel, col(TaskLabel.task_id) == col(Task.id))
    rows = list(await session.execute(query.where(worn).order_by(col(Task.id)).limit(MOST_TOLD + 1)))
    if len(rows) <= MOST_TOLD:
        return [(project_id, task_id) for project_id, task_id in rows]
    projects = query.with_only_columns(col(Task.project_id)).where(worn).distinct()
    return [(project_id, None) for project_id in await session.scalars(projects)]


async def _tell(session: AsyncSession, actor: Actor, wearers: list[tuple[UUID, UUID | None]]) -> None:
    for project_id, task_id in wearers:
        kind = "task:updated" if task_id else "project:updated"
        await news.tell(session, kind, actor.id, project_id=project_id, task_id=task_id)


def _of(project: Project) -> ColumnElement[bool]:
    """The condition on `Label` for what this project's tasks may wear."""
    if project.team_id is None:
        return col(Label.user_id) == project.user_id
    return col(Label.team_id) == project.team_id


async def _listed(session: AsyncSession, wanted: ColumnElement[bool]) -> list[LabelView]:
    rows = await session.scalars(
        select(Label).where(wanted).order_by(func.lower(col(Label.name)), col(Label.id))
    )
    return [label_view(label) for label in rows]


async def _own(session: AsyncSession, actor: Actor, label_id: UUID) -> Label:
    label = await session.scalar(select(Label).where(col(Label.id) == label_id, visible_labels(actor)))
    if label is None:
        raise NotFound("There is no such label.")
    return label


async def _saved(session: AsyncSession, label: Label, name: str, color: str) -> LabelView:
    try:
        async with session.begin_nested():  # which writes what was changed before it, outside of it
            label.name, label.color = name, color
            session.add(label)
    except IntegrityError:
        raise Conflict(f'There is a label "{name}" already.') from None
    return label_view(label)


def _color(color: str) -> str:
    if color not in COLORS:
        choice = ", ".join(COLORS)
        raise Invalid(f"The color must be one of: {choice}.", color=f"must be one of: {choice}")
    return color
