"""Where cards stand in a column: a number between their neighbours'."""

from uuid import UUID

from sqlalchemy import func, select, text
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear.models import Task

CLOSEST = 1e-6
"""Below this gap halving would soon end; the column is numbered anew."""

RENUMBER = text(
    """
    UPDATE tasks SET rank = numbered.position, version = version + 1
    FROM (
        SELECT id, row_number() OVER (ORDER BY rank, id) AS position FROM tasks
        WHERE project_id = :project AND status = :status AND NOT archived
    ) AS numbered
    WHERE tasks.id = numbered.id
    """
)


async def top(session: AsyncSession, project_id: UUID, status: str) -> float:
    """A rank above all of a column's cards."""
    first = await session.scalar(
        select(func.min(col(Task.rank))).where(
            col(Task.project_id) == project_id, col(Task.status) == status, col(Task.archived).is_(False)
        )
    )
    return 0.0 if first is None else first - 1.0


async def between(
    session: AsyncSession, task: Task, status: str, above: UUID | None, below: UUID | None
) -> float:
    """A rank for `task` under `above` and over `below`, cards of the column; at its top without them.

    One neighbour is enough, and one that has left the column meanwhile is ignored. The caller holds
    the project's row, so that nobody else renumbers.
    """
    low, high = await _gap(session, task, status, above, below)
    if low is not None and high is not None and high - low <= CLOSEST:
        await session.execute(RENUMBER, {"project": task.project_id, "status": status})
        low, high = await _gap(session, task, status, above, below)
    if low is None and high is None:
        return await top(session, task.project_id, status)
    if low is None:
        return (high or 0.0) - 1.0
    return low + 1.0 if high is None else (low + high) / 2


async def _gap(
    session: AsyncSession, task: Task, status: str, above: UUID | None, below: UUID | None
) -> tuple[float | None, float | None]:
    """The ranks of the cards next to the place that is meant."""
    column = select(col(Task.rank)).where(
        col(Task.project_id) == task.project_id,
        col(Task.status) == status,
        col(Task.archived).is_(False),
        col(Task.id) != task.id,
    )
    low = await session.scalar(column.where(col(Task.id) == above)) if above else None
    if low is not None:
        query = column.where(col(Task.rank) > low).order_by(col(Task.rank)).limit(1)
        return low, await session.scalar(query)
    high = await session.scalar(column.where(col(Task.id) == below)) if below else None
    if high is not None:
        query = column.where(col(Task.rank) < high).order_by(col(Task.rank).desc()).limit(1)
        return await session.scalar(query), high
    return None, None
