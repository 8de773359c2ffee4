"""Who may see and change what: the one place that says so.

A project belongs to its owner. Whoever may not see a project finds neither it nor anything in it.
"""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import ColumnElement, and_, select
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear.models import Project, Task
from openlinear.services.errors import NotFound
from openlinear.services.views import Actor

FRESH = {"populate_existing": True}
"""A lock is waited for: what it finds counts, not what the session read before."""


def visible_projects(actor: Actor) -> ColumnElement[bool]:
    """The condition on `Project` for what this actor may see."""
    return and_(col(Project.user_id) == actor.id, col(Project.verified_at).is_not(None))


async def require_project(
    session: AsyncSession, actor: Actor, project_id: UUID, *, lock: bool = False
) -> Project:
    """The project, or NotFound; whoever sees it may write. `lock` holds its row."""
    query = select(Project).where(col(Project.id) == project_id, visible_projects(actor))
    if lock:
        query = query.with_for_update().execution_options(**FRESH)
    project = await session.scalar(query)
    if project is None:
        raise NotFound("There is no such project.")
    return project


async def require_task(
    session: AsyncSession, actor: Actor, task_id: UUID, *, lock: bool = False
) -> tuple[Task, Project]:
    """The task and its project, or NotFound. `lock` holds the task's row."""
    query = (
        select(Task, Project)
        .join(Project, col(Project.id) == col(Task.project_id))
        .where(col(Task.id) == task_id, visible_projects(actor))
    )
    if lock:
        query = query.with_for_update(of=Task).execution_options(**FRESH)
    row = (await session.execute(query)).one_or_none()
    if row is None:
        raise NotFound("There is no such task.")
    return row[0], row[1]


async def viewers(session: AsyncSession, project_ids: Collection[UUID]) -> dict[UUID, frozenset[UUID]]:
    """Who may see each of these projects, in one query. Unscoped: for what fans news out."""
    if not project_ids:
        return {}
    rows = await session.execute(
        select(col(Project.id), col(Project.user_id)).where(
            col(Project.id).in_(project_ids), col(Project.verified_at).is_not(None)
        )
    )
    return {project_id: frozenset((user_id,)) for project_id, user_id in rows}
