"""What administrators of the installation do: see its accounts, end and begin them. No project is theirs to
see by that.
"""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, select, tuple_
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear import db
from openlinear.models import Invitation, OneTimeLink, Project, User
from openlinear.models.columns import now
from openlinear.services import account_log, first, logins, open_work, paging, registration
from openlinear.services.access import require_admin, usable_by
from openlinear.services.errors import Conflict, NotFound
from openlinear.services.views import Actor, Page

MOST_INVITATIONS = 100
LAST = "This is the last administrator. Make somebody else one first."


@dataclass(frozen=True, slots=True)
class AccountView:
    id: UUID
    name: str
    username: str
    email: str
    admin: bool
    disabled: bool
    created_at: datetime
    seen_at: datetime | None
    """Within minutes; None for never since they registered."""


@dataclass(frozen=True, slots=True)
class AccountInvitation:
    """A link to one account that was not taken yet."""

    id: UUID
    created_by: str
    """The administrator's name; empty for the command line."""
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class NewAccountInvitation:
    """The only time that the link comes out."""

    url: str = field(repr=False)


async def list_accounts(
    session: AsyncSession, actor: Actor, *, limit: int = paging.LIMIT, cursor: str | None = None
) -> Page[AccountView]:
    """All accounts, by name."""
    require_admin(actor)
    key = (func.lower(col(User.name)), col(User.username))
    query = select(User, key[0]).order_by(*key).limit(paging.limited(limit) + 1)
    if cursor is not None:
        query = query.where(tuple_(*key) > tuple_(*paging.decode(cursor, 2)))
    found = list(await session.execute(query))
    page = found[:limit]
    after = None
    if len(found) > limit:
        user, lowered = page[-1]  # as PostgreSQL lowers it, which compares it again
        after = paging.encode([lowered, user.username])
    return Page(tuple(_view(user) for user, _ in page), after)


async def change_account(
    actor: Actor, user_id: UUID, *, admin: bool | None = None, disabled: bool | None = None
) -> AccountView:
    """Make somebody an administrator or no longer one; disable or enable their account.

    Conflict where that would leave no administrator. Disabling ends their logins and access tokens with the
    commit, and the links they made; their open runs right after. Takes no session: those end one by one.
    """
    async with db.transaction() as session:
        user = await _changed(session, actor, user_id, admin, disabled)
        left = open_work.OpenWork()
        if disabled:
            theirs = list(await session.scalars(select(col(Project.id)).where(usable_by(user_id))))
            left = await open_work.find(session, user_id, theirs)
            await _forget_links(session, user_id)
            # The last statement of its transaction, as ever.
            await logins.end_all(session, user_id)
    await open_work.end(left)
    return _view(user)


async def _changed(
    session: AsyncSession, actor: Actor, user_id: UUID, admin: bool | None, disabled: bool | None
) -> User:
    require_admin(actor)
    await first.alone(session)
    await logins.still(session, actor, admin=True)
    user = await session.get(User, user_id, with_for_update=True, populate_existing=True)
    if user is None:
        raise NotFound("There is no such account.")
    if admin is not None and admin != user.admin:
        user.admin = admin
        account_log.note("made administrator" if admin else "administrator no longer", user.id, by=actor.id)
    if disabled is not None and disabled != (user.disabled_at is not None):
        user.disabled_at = now() if disabled else None
        account_log.note("disabled" if disabled else "enabled", user.id, by=actor.id)
    await session.flush()
    working = select(col(User.id)).where(col(User.admin), col(User.disabled_at).is_(None)).limit(1)
    if await session.scalar(working) is None:
        raise Conflict(LAST)
    return user


async def _forget_links(session: AsyncSession, user_id: UUID) -> None:
    """Nobody comes by what a disabled account made, and it gets no new password by an old link."""
    await session.execute(delete(Invitation).where(col(Invitation.created_by) == user_id))
    theirs = (col(OneTimeLink.created_by) == user_id) | (col(OneTimeLink.user_id) == user_id)
    await session.execute(delete(OneTimeLink).where(theirs))


async def invite(session: AsyncSession, actor: Actor) -> NewAccountInvitation:
    """A link by which one person may make an account. Conflict where too many are open."""
    require_admin(actor)
    await first.alone(session)
    await logins.still(session, actor, admin=True)
    if (await session.scalar(select(func.count()).where(_open_invitation())) or 0) >= MOST_INVITATIONS:
        raise Conflict(f"{MOST_INVITATIONS} invitations are open. Revoke some first.")
    account_log.note("invitation made", actor.id)
    return NewAccountInvitation(await registration.invite(session, actor.id))


async def list_invitations(session: AsyncSession, actor: Actor) -> list[AccountInvitation]:
    """Those that can still be taken, the latest first."""
    require_admin(actor)
    rows = await session.execute(
        select(OneTimeLink, col(User.name))
        .outerjoin(User, col(User.id) == col(OneTimeLink.created_by))
        .where(_open_invitation())
        .order_by(col(OneTimeLink.created_at).desc(), col(OneTimeLink.id))
    )
    return [AccountInvitation(row.id, name or "", row.created_at, row.expires_at) for row, name in rows]


async def revoke_invitation(session: AsyncSession, actor: Actor, invitation_id: UUID) -> None:
    require_admin(actor)
    wanted = (col(OneTimeLink.id) == invitation_id) & (col(OneTimeLink.purpose) == "invitation")
    gone = await session.scalar(delete(OneTimeLink).where(wanted).returning(col(OneTimeLink.id)))
    if gone is None:
        raise NotFound("There is no such invitation, or it was taken already.")


def _open_invitation() -> ColumnElement[bool]:
    return (col(OneTimeLink.purpose) == "invitation") & (col(OneTimeLink.expires_at) > now())


def _view(user: User) -> AccountView:
    return AccountView(
        user.id,
        user.name,
        user.username,
        user.email,
        user.admin,
        user.disabled_at is not None,
        user.created_at,
        user.seen_at,
    )
