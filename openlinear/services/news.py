"""Telling that something changed: a row, whose insert notifies every web process."""

from typing import Any
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear.models import Change


async def tell(
    session: AsyncSession,
    kind: str,
    user_id: UUID,
    *,
    team_id: UUID | None = None,
    project_id: UUID | None = None,
    task_id: UUID | None = None,
    data: dict[str, Any] | None = None,
) -> None:
    """Number the change. The last statement of its transaction: numbering locks until the commit."""
    await session.flush()
    change = Change(kind=kind, user_id=user_id, team_id=team_id, project_id=project_id, task_id=task_id)
    change.data = data
    session.add(change)
    await session.flush()
