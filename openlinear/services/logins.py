"""A person's logins, and how they and access tokens end: at once, in every process."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, select, update
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear import db
from openlinear.models import AccessToken, AuthSession, User
from openlinear.models.columns import now
from openlinear.services import account_log, news
from openlinear.services.access import require_login
from openlinear.services.errors import NotFound
from openlinear.services.views import Actor

COARSE = timedelta(minutes=5)
"""How exactly it is kept when something was last used: each request would be a write otherwise."""
Kind = type[AuthSession] | type[AccessToken]


@dataclass(frozen=True, slots=True)
class LoginView:
    id: UUID
    device: str
    """In a few words; empty where nothing is known."""
    address: str
    created_at: datetime
    used_at: datetime
    """Within minutes."""
    expires_at: datetime
    current: bool
    """Whether it is the one that asks."""


async def list_logins(session: AsyncSession, actor: Actor) -> list[LoginView]:
    """The actor's logins that have not ended: their own first, then the last used."""
    require_login(actor)
    rows = await session.scalars(
        select(AuthSession)
        .where(is_open(AuthSession, actor.id))
        .order_by(col(AuthSession.used_at).desc(), col(AuthSession.id))
    )
    found = [_view(row, actor) for row in rows]
    return sorted(found, key=lambda one: not one.current)


async def end_login(session: AsyncSession, actor: Actor, login_id: UUID) -> None:
    """End one of the actor's logins, this one too. NotFound when it is none or over."""
    require_login(actor)
    if not await end(session, AuthSession, actor.id, col(AuthSession.id) == login_id):
        raise NotFound("There is no such login, or it has ended already.")


async def end_others(session: AsyncSession, actor: Actor) -> int:
    """End all of the actor's logins but this one. How many there were."""
    require_login(actor)
    return len(await end(session, AuthSession, actor.id, col(AuthSession.id) != actor.session_id))


async def end_all(session: AsyncSession, user_id: UUID, *, but: UUID | None = None) -> int:
    """End a user's logins, save one, and all their access tokens. How many there were. Unscoped."""
    kept = col(AuthSession.id) != but if but else None
    ended = await _revoke(session, AuthSession, user_id, kept)
    ended += await _revoke(session, AccessToken, user_id, None)
    await _tell(session, user_id, ended)
    return len(ended)


async def end(session: AsyncSession, kind: Kind, user_id: UUID, which: ColumnElement[bool]) -> Sequence[UUID]:
    """End those of this user's logins or tokens. Those that were open. Unscoped."""
    ended = await _revoke(session, kind, user_id, which)
    await _tell(session, user_id, ended)
    return ended


async def touch(kind: Kind, row_id: UUID, user_id: UUID) -> None:
    """It is being used. In a transaction of its own, which waits for nobody: a request should not."""
    async with db.transaction() as session:
        for table, wanted, name in ((kind, row_id, "used_at"), (User, user_id, "seen_at")):
            free = select(col(table.id)).where(col(table.id) == wanted)
            free = free.with_for_update(skip_locked=True, key_share=True)
            at = {name: now()}
            await session.execute(update(table).where(col(table.id).in_(free)).values(**at))


async def _revoke(
    session: AsyncSession, kind: Kind, user_id: UUID, which: ColumnElement[bool] | None
) -> list[UUID]:
    wanted = is_open(kind, user_id) if which is None else is_open(kind, user_id) & which
    revoked = update(kind).where(wanted).values(revoked_at=now()).returning(col(kind.id))
    found = list(await session.scalars(revoked))
    for one in found:
        account_log.note("login ended" if kind is AuthSession else "access token ended", user_id, id=one)
    return found


async def _tell(session: AsyncSession, user_id: UUID, ended: Sequence[UUID]) -> None:
    if ended:
        await news.tell(session, "session:ended", user_id, data={"sessionIds": [str(one) for one in ended]})


def is_open(kind: Kind, user_id: Any) -> ColumnElement[bool]:
    """The condition on `kind` for what is this user's (an id, or a column of ids) and has not ended."""
    return and_(col(kind.user_id) == user_id, col(kind.revoked_at).is_(None), col(kind.expires_at) > now())


def _view(row: AuthSession, actor: Actor) -> LoginView:
    return LoginView(
        row.id,
        row.device,
        row.address,
        row.created_at,
        row.used_at,
        row.expires_at,
        row.id == actor.session_id,
    )
