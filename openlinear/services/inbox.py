"""What a person should look at: their own work that ended, or that waits for them.

An item is seen for as long as its project is: who left the team no longer sees what they did there.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select, tuple_, update
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear.models import InboxItem, Project, Task
from openlinear.models.columns import now
from openlinear.services import inbox_entries, paging
from openlinear.services.access import visible_projects
from openlinear.services.errors import NotFound
from openlinear.services.views import Actor, Page

KEPT = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class InboxView:
    id: UUID
    status: str
    """done, completed (a batch), failed, waiting (for an answer or an approval)."""
    project_id: UUID
    project: str
    task_id: UUID | None
    identifier: str | None
    run_id: UUID | None
    batch_id: UUID | None
    title: str
    message: str
    """What it came to, why it failed, or what it waits for."""
    at: datetime
    read: bool


async def items(
    session: AsyncSession, actor: Actor, *, limit: int = paging.LIMIT, cursor: str | None = None
) -> Page[InboxView]:
    """The latest first."""
    query = (
        _seen(actor, select(InboxItem, Project, Task))
        .outerjoin(Task, col(Task.id) == col(InboxItem.task_id))
        .order_by(col(InboxItem.at).desc(), col(InboxItem.id).desc())
        .limit(paging.limited(limit) + 1)
    )
    if cursor is not None:
        query = query.where(tuple_(col(InboxItem.at), col(InboxItem.id)) < paging.moment(cursor))
    found = [_view(*row) for row in await session.execute(query)]
    page = tuple(found[:limit])
    more = len(found) > limit
    return Page(page, paging.encode([page[-1].at.isoformat(), str(page[-1].id)]) if more else None)


async def unread(session: AsyncSession, actor: Actor) -> int:
    query = _seen(actor, select(func.count())).where(col(InboxItem.read_at).is_(None))
    return await session.scalar(query) or 0


async def set_read(session: AsyncSession, actor: Actor, item_id: UUID, read: bool) -> InboxView:
    query = (
        _seen(actor, select(InboxItem, Project, Task))
        .outerjoin(Task, col(Task.id) == col(InboxItem.task_id))
        .where(col(InboxItem.id) == item_id)
        .with_for_update(of=InboxItem)
    )
    row = (await session.execute(query)).one_or_none()
    if row is None:
        raise NotFound("There is no such item.")
    item, project, task = row
    if read != (item.read_at is not None):
        item.read_at = now() if read else None
        await inbox_entries.tell(session, actor.id)
    return _view(item, project, task)


async def read_all(session: AsyncSession, actor: Actor) -> None:
    """Everything that the actor has now is read."""
    mine = update(InboxItem).where(col(InboxItem.user_id) == actor.id, col(InboxItem.read_at).is_(None))
    marked = await session.execute(mine.values(read_at=now()).returning(col(InboxItem.id)))
    if marked.first() is not None:
        await inbox_entries.tell(session, actor.id)


def _seen(actor: Actor, query: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    return (
        query.select_from(InboxItem)
        .join(Project, col(Project.id) == col(InboxItem.project_id))
        .where(col(InboxItem.user_id) == actor.id, visible_projects(actor))
    )


def _view(item: InboxItem, project: Project, task: Task | None) -> InboxView:
    return InboxView(
        id=item.id,
        status=item.status,
        project_id=project.id,
        project=project.name,
        task_id=item.task_id,
        identifier=f"{project.key}-{task.number}" if task else None,
        run_id=item.run_id,
        batch_id=item.batch_id,
        title=task.title if task else item.title,
        message=item.message,
        at=item.at,
        read=item.read_at is not None,
    )
