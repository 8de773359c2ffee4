"""A project's cards by column. Finished columns grow without end, so they are read a page at a time."""

import math
from collections.abc import Collection
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, tuple_
from sqlalchemy.orm import defer
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear.engine_client import engine_client
from openlinear.models import Project, Task
from openlinear.services import paging
from openlinear.services.access import require_project, visible_projects
from openlinear.services.cards import task_views
from openlinear.services.errors import Invalid
from openlinear.services.feed import latest_id
from openlinear.services.fields import STATUSES
from openlinear.services.preferences import get_settings
from openlinear.services.projects import view as project_view
from openlinear.services.views import Actor, BoardView, Page, TaskView

FINISHED = ("done", "cancelled")


async def board(session: AsyncSession, actor: Actor, project_id: UUID) -> BoardView:
    """A project's cards by column, without their descriptions (those are `tasks.task`'s)."""
    seen = await latest_id(session)  # before the rows: news that they hold already does no harm
    project = await require_project(session, actor, project_id)
    rows: list[Task] = []
    cursors: dict[str, str | None] = {}
    for status in STATUSES:
        limit = paging.LIMIT if status in FINISHED else None
        found, cursors[status] = await _column(session, project, status, limit=limit)
        rows += found
    cards = await task_views(session, [(task, project) for task in rows], brief=True)
    settings = await get_settings(session, actor)
    return BoardView(
        project=project_view(project),
        columns={status: tuple(card for card in cards if card.status == status) for status in STATUSES},
        cursors=cursors,
        counts=await _counts(session, project),
        running=await engine_client().open_runs(session, actor.id),
        parallel_limit=settings.parallel_limit,
        news_id=seen,
    )


async def older(
    session: AsyncSession,
    actor: Actor,
    project_id: UUID,
    status: str,
    cursor: str,
    *,
    limit: int = paging.LIMIT,
) -> Page[TaskView]:
    """The next cards of a finished column, below those that `cursor` ends. Without descriptions."""
    if status not in FINISHED:
        raise Invalid("Only finished columns come in pages.", status="must be done or cancelled")
    project = await require_project(session, actor, project_id)
    rows, following = await _column(session, project, status, limit=paging.limited(limit), cursor=cursor)
    cards = await task_views(session, [(task, project) for task in rows], brief=True)
    return Page(tuple(cards), following)


async def cards(session: AsyncSession, actor: Actor, task_ids: Collection[UUID]) -> dict[UUID, TaskView]:
    """Those of these tasks that are there for the actor, archived ones too. Without descriptions."""
    found = await session.execute(
        select(Task, Project)
        .options(defer(cast(Any, Task.description)))
        .join(Project, col(Project.id) == col(Task.project_id))
        .where(col(Task.id).in_(task_ids), visible_projects(actor))
    )
    rows = [(task, project) for task, project in found]
    return {view.id: view for view in await task_views(session, rows, brief=True)}


async def counts(session: AsyncSession, actor: Actor, project_id: UUID) -> dict[str, int]:
    """How many cards each column of the project has."""
    return await _counts(session, await require_project(session, actor, project_id))


async def _counts(session: AsyncSession, project: Project) -> dict[str, int]:
    rows = await session.execute(
        select(col(Task.status), func.count(col(Task.id)))
        .where(_on_board(project))
        .group_by(col(Task.status))
    )
    found = {row[0]: row[1] for row in rows}
    return {status: found.get(status, 0) for status in STATUSES}


async def _column(
    session: AsyncSession, project: Project, status: str, *, limit: int | None, cursor: str | None = None
) -> tuple[list[Task], str | None]:
    """Tasks of a column in their order, and where the next page begins when there are more."""
    query = (
        select(Task)
        .options(defer(cast(Any, Task.description)))
        .where(_on_board(project), col(Task.status) == status)
        .order_by(col(Task.rank), col(Task.id))
    )
    if cursor is not None:
        query = query.where(tuple_(col(Task.rank), col(Task.id)) > _position(cursor))
    rows = list(await session.scalars(query if limit is None else query.limit(limit + 1)))
    if limit is None or len(rows) <= limit:
        return rows, None
    last = rows[limit - 1]
    return rows[:limit], paging.encode([repr(last.rank), str(last.id)])


def _on_board(project: Project) -> ColumnElement[bool]:
    return (col(Task.project_id) == project.id) & col(Task.archived).is_(False)


def _position(cursor: str) -> tuple[float, UUID]:
    rank, task_id = paging.decode(cursor, 2)
    try:
        position = float(rank), UUID(task_id)
    except ValueError:
        raise paging.bad_cursor() from None
    if not math.isfinite(position[0]):
        raise paging.bad_cursor()
    return position
