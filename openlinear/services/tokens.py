"""Access tokens: what a program acts with in a person's name, until an end that they chose."""

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from sqlalchemy import func, select
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear.models import AccessToken, User
from openlinear.models.columns import now
from openlinear.services import account_log, links, logins, text
from openlinear.services.access import require_login
from openlinear.services.errors import Invalid, NotFound
from openlinear.services.views import Actor

PREFIX = "olp_"
"""So that people and scanners know a token that got lost."""
TOKEN_BYTES = 32
DAYS = 90
MOST_DAYS = 366
MOST = 50
Scope = Literal["read", "write"]
SCOPES: tuple[Scope, ...] = ("read", "write")


@dataclass(frozen=True, slots=True)
class TokenView:
    id: UUID
    name: str
    scope: str
    """read, or write, which reads as well."""
    created_at: datetime
    used_at: datetime | None
    """Within minutes; None for never."""
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class NewToken:
    """One that has just been made: the only time that it comes out."""

    view: TokenView
    token: str = field(repr=False)


async def make(
    session: AsyncSession, actor: Actor, name: str, scope: str = "read", days: int = DAYS
) -> NewToken:
    """A new token of the actor's. Invalid for an unknown scope, or an end too far away."""
    require_login(actor)
    name = text.line(name, "name", limit=100)
    if scope not in SCOPES:
        raise Invalid("A token may read or write.", scope="must be read or write")
    if not 1 <= days <= MOST_DAYS:
        raise Invalid(f"A token ends after 1 to {MOST_DAYS} days.", days=f"must be 1 to {MOST_DAYS}")
    # The user's row is locked so that two at once are counted.
    await session.execute(select(col(User.id)).where(col(User.id) == actor.id).with_for_update())
    await logins.still(session, actor)
    open_ones = select(func.count()).select_from(AccessToken).where(logins.is_open(AccessToken, actor.id))
    if (await session.scalar(open_ones) or 0) >= MOST:
        raise Invalid(f"You have {MOST} access tokens. Revoke some first.", name="is one too many")
    token = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    made = AccessToken(
        user_id=actor.id,
        name=name,
        scope=scope,
        token_hash=links.digest(token),
        expires_at=now() + timedelta(days=days),
    )
    session.add(made)
    await session.flush()
    account_log.note("access token made", actor.id, id=made.id, scope=scope, days=days)
    return NewToken(_view(made), token)


async def list_tokens(session: AsyncSession, actor: Actor) -> list[TokenView]:
    """The actor's tokens that have not ended, the latest first."""
    require_login(actor)
    rows = await session.scalars(
        select(AccessToken)
        .where(logins.is_open(AccessToken, actor.id))
        .order_by(col(AccessToken.created_at).desc(), col(AccessToken.id))
    )
    return [_view(row) for row in rows]


async def revoke(session: AsyncSession, actor: Actor, token_id: UUID) -> None:
    """End one of the actor's tokens, and what is open with it. NotFound when it is none or over."""
    require_login(actor)
    if not await logins.end(session, AccessToken, actor.id, col(AccessToken.id) == token_id):
        raise NotFound("There is no such access token, or it has ended already.")


def _view(row: AccessToken) -> TokenView:
    return TokenView(row.id, row.name, row.scope, row.created_at, row.used_at, row.expires_at)
