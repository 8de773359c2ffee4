"""Who did what: written in the transaction that does it. A team's owners and admins read its log,
everybody what they did to their own.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear.models import AuditEntry, User
from openlinear.services import paging
from openlinear.services.access import require_team
from openlinear.services.team_views import AuditView
from openlinear.services.views import Actor, Page


def record(
    session: AsyncSession,
    actor: Actor,
    action: str,
    subject: str,
    *,
    team_id: UUID | None,
    **details: Any,
) -> None:
    """Write it down; without a team it is the actor's own. `details` are small and never a secret."""
    session.add(
        AuditEntry(
            team_id=team_id,
            user_id=actor.id if team_id is None else None,
            actor_id=actor.id,
            action=action,
            subject=subject,
            details=details,
        )
    )


async def of_team(
    session: AsyncSession,
    actor: Actor,
    team_id: UUID,
    *,
    limit: int = paging.LIMIT,
    cursor: str | None = None,
) -> Page[AuditView]:
    """The team's log, the latest first. For its owners and admins."""
    await require_team(session, actor, team_id, "admin")
    return await _page(session, col(AuditEntry.team_id) == team_id, limit, cursor)


async def own(
    session: AsyncSession, actor: Actor, *, limit: int = paging.LIMIT, cursor: str | None = None
) -> Page[AuditView]:
    """What the actor did to what is theirs alone, the latest first."""
    return await _page(session, col(AuditEntry.user_id) == actor.id, limit, cursor)


async def _page(
    session: AsyncSession, whose: ColumnElement[bool], limit: int, cursor: str | None
) -> Page[AuditView]:
    query = (
        select(AuditEntry, col(User.name))
        .outerjoin(User, col(User.id) == col(AuditEntry.actor_id))
        .where(whose)
        .order_by(col(AuditEntry.id).desc())
        .limit(paging.limited(limit) + 1)
    )
    if cursor is not None:
        query = query.where(col(AuditEntry.id) < paging.number(cursor, 2**63))
    found = [_view(entry, name or "") for entry, name in await session.execute(query)]
    page = found[:limit]
    return Page(tuple(page), paging.encode([str(page[-1].id)]) if len(found) > limit else None)


def _view(entry: AuditEntry, name: str) -> AuditView:
    return AuditView(
        entry.id or 0, entry.at, entry.actor_id, name, entry.action, entry.subject, entry.details
    )
