"""Links that let people into a team. Nobody is put into one, so nobody learns which emails have accounts."""

import secrets
from datetime import timedelta
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear.models import Invitation, Member, Team, User
from openlinear.models.columns import now
from openlinear.services import audit, throttle
from openlinear.services.access import FRESH, require_team, role_in
from openlinear.services.errors import Invalid, NotFound
from openlinear.services.links import digest
from openlinear.services.team_views import InvitationView, NewInvitation, TeamView, Welcome
from openlinear.services.teams import get_team
from openlinear.services.views import Actor
from openlinear.settings import get_settings

TOKEN_BYTES = 32
DAYS = 7
MOST_DAYS = 30
MOST_USES = 100
MOST_OPEN = 100
TRIES = 20
"""Wrong links in a quarter of an hour, of one account."""
WRONG = "This invitation has ended, was used already, or never was. Ask for a new one."


async def invite(
    session: AsyncSession,
    actor: Actor,
    team_id: UUID,
    *,
    role: str = "member",
    days: int = DAYS,
    uses: int = 1,
) -> NewInvitation:
    """A new link, for owners and admins to make. An owner is made of a member, never invited."""
    if role not in ("member", "admin"):
        raise Invalid("One is invited as member or admin.", role="must be member or admin")
    for name, value, most in (("days", days, MOST_DAYS), ("uses", uses, MOST_USES)):
        if not 1 <= value <= most:
            raise Invalid(f"The {name} must be 1 to {most}.", **{name: f"must be 1 to {most}"})
    await require_team(session, actor, team_id, "admin", lock=True)
    open_ones = (
        select(func.count()).select_from(Invitation).where(_open(), col(Invitation.team_id) == team_id)
    )
    if (await session.scalar(open_ones) or 0) >= MOST_OPEN:
        reason = f"{MOST_OPEN} invitations are open. Revoke some first."
        raise Invalid(reason, team=reason)
    token = secrets.token_urlsafe(TOKEN_BYTES)
    made = Invitation(
        id=uuid4(),
        team_id=team_id,
        token_hash=digest(token),
        role=role,
        uses_left=uses,
        accounts_left=uses,
        created_by=actor.id,
        expires_at=now() + timedelta(days=days),
    )
    session.add(made)
    audit.record(session, actor, "invitation:created", role, team_id=team_id, days=days, uses=uses)
    await session.flush()
    return NewInvitation(_view(made, actor.name), token, f"{get_settings().public_url}/join/{token}")


async def list_invitations(session: AsyncSession, actor: Actor, team_id: UUID) -> list[InvitationView]:
    """Those that can still be taken, the latest first. For owners and admins."""
    await require_team(session, actor, team_id, "admin")
    rows = await session.execute(
        select(Invitation, col(User.name))
        .outerjoin(User, col(User.id) == col(Invitation.created_by))
        .where(col(Invitation.team_id) == team_id, _open())
        .order_by(col(Invitation.created_at).desc(), col(Invitation.id))
    )
    return [_view(found, name or "") for found, name in rows]


async def revoke(session: AsyncSession, actor: Actor, team_id: UUID, invitation_id: UUID) -> None:
    """The link ends at once. For owners and admins."""
    await require_team(session, actor, team_id, "admin", lock=True)
    mine = (col(Invitation.id) == invitation_id) & (col(Invitation.team_id) == team_id)
    found = await session.scalar(select(Invitation).where(mine, _open()))
    if found is None:
        raise NotFound("There is no such invitation.")
    audit.record(session, actor, "invitation:revoked", found.role, team_id=team_id)
    await session.delete(found)


async def look(session: AsyncSession, actor: Actor, token: str) -> Welcome:
    """What this link leads to, before it is taken. NotFound, in the same words, whatever is wrong with it."""
    await throttle.admit("join as", str(actor.id), TRIES)
    found = await _found(session, token)
    await throttle.forget(session, "join as", str(actor.id))
    team = await session.get_one(Team, found.team_id)
    inviter = await session.get(User, found.created_by) if found.created_by else None
    member = await role_in(session, actor.id, team.id) is not None
    return Welcome(team.id, team.name, found.role, inviter.name if inviter else "", found.expires_at, member)


async def join(session: AsyncSession, actor: Actor, token: str) -> TeamView:
    """Enter the team that the link leads to. Who is in it already spends no use and keeps their role."""
    await throttle.admit("join as", str(actor.id), TRIES)
    team_id = (await _found(session, token)).team_id
    # The team first, then the link: the order in which a team that is deleted takes its links along.
    await session.execute(select(col(Team.id)).where(col(Team.id) == team_id).with_for_update(key_share=True))
    found = await _found(session, token)
    new = Member(team_id=team_id, user_id=actor.id, role=found.role)
    entered = await session.scalar(
        insert(Member).values(**new.model_dump()).on_conflict_do_nothing().returning(col(Member.user_id))
    )
    if entered is not None:
        found.uses_left -= 1
        audit.record(session, actor, "member:joined", actor.name, team_id=team_id, role=found.role)
    await session.flush()
    await throttle.forget(session, "join as", str(actor.id))
    return await get_team(session, actor, team_id)


async def _found(session: AsyncSession, token: str) -> Invitation:
    query = select(Invitation).where(col(Invitation.token_hash) == digest(token), _open())
    found = await session.scalar(query.execution_options(**FRESH))
    if found is None:
        raise NotFound(WRONG)
    return found


def _open() -> ColumnElement[bool]:
    return (col(Invitation.uses_left) > 0) & (col(Invitation.expires_at) > now())


def _view(found: Invitation, name: str) -> InvitationView:
    return InvitationView(found.id, found.role, found.uses_left, name, found.created_at, found.expires_at)
