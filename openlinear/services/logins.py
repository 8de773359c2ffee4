"""A person's logins, and how they and access tokens end: at once, in every process."""

import asyncio
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
from openlinear.services.access import ADMINS_ONLY, require_login
from openlinear.services.errors import Forbidden, NotFound, NotSignedIn
from openlinear.services.views import Actor

COOKIE = "openlinear_session"
"""What a browser keeps its login in."""
COARSE = timedelta(minutes=5)
"""How exactly it is kept when something was last used: each request would be a write otherwise."""
MOST = 100
"""Open logins of a person: the one that was not used for longest gives way to a new one."""
ENDED = "This login has ended. Sign in again."
Kind = type[AuthSession] | type[AccessToken]

_used: dict[UUID, tuple[Kind, UUID]] = {}
"""What is yet to be kept: a login's or token's id, and whose it is."""
_under_way: set[asyncio.Task[None]] = set()


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


async def still(session: AsyncSession, actor: Actor, *, admin: bool = False) -> None:
    """Ask again, after a lock was waited for: what the actor came with may have ended meanwhile.

    NotSignedIn when it has, or the account was disabled; Forbidden, with `admin`, for an administrator no
    longer. Those who end logins for good hold the same lock, or have been first.
    """
    kind: Kind = AuthSession if actor.scope is None else AccessToken
    mine = (col(kind.id) == actor.session_id) & is_open(kind, actor.id)
    enabled = (
        select(col(User.admin))
        .join(kind, mine)
        .where(col(User.id) == actor.id, col(User.disabled_at).is_(None))
    )
    is_admin = await session.scalar(enabled)
    if is_admin is None:
        raise NotSignedIn(ENDED)
    if admin and not is_admin:
        raise Forbidden(ADMINS_ONLY)


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


async def make_room(session: AsyncSession, user_id: UUID) -> None:
    """End the logins that a new one leaves no room for. Unscoped; the caller holds the user's row."""
    latest = select(col(AuthSession.id)).where(is_open(AuthSession, user_id))
    beyond = latest.order_by(col(AuthSession.used_at).desc(), col(AuthSession.id)).offset(MOST - 1)
    await end(session, AuthSession, user_id, col(AuthSession.id).in_(beyond))


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


def touch(kind: Kind, row_id: UUID, user_id: UUID) -> None:
    """It is being used. Kept soon, one after the other: a request waits neither for that nor a connection."""
    _used[row_id] = kind, user_id
    if all(task.done() for task in _under_way):
        keeping = asyncio.create_task(_keep_uses())
        _under_way.add(keeping)
        keeping.add_done_callback(_under_way.discard)


async def _keep_uses() -> None:
    while _used:
        row_id, (kind, user_id) = _used.popitem()
        try:
            await _keep_use(kind, row_id, user_id)
        except Exception as error:
            account_log.log.error("a use of a login could not be kept: %s", type(error).__name__)


async def _keep_use(kind: Kind, row_id: UUID, user_id: UUID) -> None:
    """In a transaction that waits for no row."""
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
