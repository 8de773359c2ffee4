"""Who may make an account: the one place that says so, however they sign in.

`REGISTRATION` is `open`, `invitation` or `closed`. An invitation is a team's link, an administrator's
one-time link, or, on a server without any account, the link to its first administrator.
"""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select, update
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear.models import Invitation, User
from openlinear.models.columns import now
from openlinear.services import first, links
from openlinear.services.errors import Forbidden
from openlinear.settings import get_settings

LASTING = timedelta(days=7)
"""How long an administrator's invitation can be taken."""
CLOSED = "Registration is closed here. Ask an administrator for an account."
UNINVITED = "An account needs an invitation here. Ask an administrator, or a team's admin, for a link."
ENDED = "This invitation has ended, was used already, or never was. Ask for a new one."


async def admit(session: AsyncSession, invitation: str | None) -> None:
    """Let one new account be made in this transaction, which spends the invitation. Forbidden otherwise.

    `invitation` is what the link holds, and is not looked at where anybody may register.
    """
    mode = get_settings().registration
    if mode == "open" or (invitation and await _first(session, invitation)):
        return
    if mode == "closed":
        raise Forbidden(CLOSED)
    if not invitation:
        raise Forbidden(UNINVITED)
    if await links.take(session, "invitation", invitation) or await _of_team(session, invitation):
        return
    raise Forbidden(ENDED)


async def invite(session: AsyncSession, created_by: UUID | None) -> str:
    """The address of a new invitation to one account. Unscoped: for administrators and the command line."""
    if get_settings().registration == "closed":
        raise Forbidden("Registration is closed here: set REGISTRATION=invitation and start again.")
    token, _ = await links.make(session, "invitation", LASTING, created_by=created_by)
    return f"{get_settings().public_url}/register#{token}"


async def _first(session: AsyncSession, token: str) -> bool:
    """Whether it is the first administrator's link, and they have no account yet."""
    if not first.fits(token):
        return False
    await first.alone(session)
    return await session.scalar(select(func.count()).select_from(User)) == 0


async def _of_team(session: AsyncSession, token: str) -> bool:
    """Spend one of the accounts that a team's link is good for; joining spends a use of its own."""
    good = (
        (col(Invitation.token_hash) == links.digest(token))
        & (col(Invitation.accounts_left) > 0)
        & (col(Invitation.uses_left) > 0)
        & (col(Invitation.expires_at) > now())
    )
    less = {"accounts_left": col(Invitation.accounts_left) - 1}
    taken = update(Invitation).where(good).values(**less).returning(col(Invitation.id))
    return await session.scalar(taken) is not None
