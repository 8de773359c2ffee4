"""Who is in a team, and as what. The last owner stays, so that a team always has one."""

from uuid import UUID

from sqlalchemy import delete, func, select
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear import db
from openlinear.models import Invitation, Member, Project, User
from openlinear.services import audit, news, open_work
from openlinear.services.access import FRESH, ROLES, Role, require_team
from openlinear.services.errors import Conflict, Forbidden, Invalid, NotFound
from openlinear.services.team_views import MemberView
from openlinear.services.views import Actor

LAST_OWNER = "A team needs an owner, and this is the only one. Make somebody else an owner first"


async def list_members(session: AsyncSession, actor: Actor, team_id: UUID) -> list[MemberView]:
    """Owners first, then by name."""
    await require_team(session, actor, team_id)
    rows = await session.execute(
        select(User, Member)
        .join(Member, col(Member.user_id) == col(User.id))
        .where(col(Member.team_id) == team_id)
    )
    found = [_view(user, member) for user, member in rows]
    return sorted(found, key=lambda one: (-ROLES.index(_role(one.role)), one.name.casefold(), one.user_id))


async def set_role(
    session: AsyncSession, actor: Actor, team_id: UUID, user_id: UUID, role: str
) -> MemberView:
    """Change what a member may do. Owners are made and unmade by owners alone."""
    wanted = _role(role)
    _, own = await require_team(session, actor, team_id, "admin", lock=True)
    user, member = await _member(session, team_id, user_id)
    if own != "owner" and "owner" in (member.role, wanted):
        raise Forbidden("Only an owner makes or unmakes owners.")
    if member.role != wanted:
        if member.role == "owner":
            await _refuse_last_owner(session, team_id, ".")
        audit.record(
            session, actor, "member:role", user.name, team_id=team_id, before=member.role, after=wanted
        )
        member.role = wanted
        if wanted == "member":
            await _forget_invitations(session, team_id, user_id)
    await session.flush()
    return _view(user, member)


async def remove_member(actor: Actor, team_id: UUID, user_id: UUID) -> None:
    """Take somebody out of the team; everybody may take out themselves. What they see of it ends with the
    commit, their open runs in its projects right after. Takes no session: those are ended one by one.

    Nothing is left to a removed member's run if that is cut short: the engine gets no remote for it.
    """
    async with db.transaction() as session:
        await _remove(session, actor, team_id, user_id)
        projects = select(col(Project.id)).where(col(Project.team_id) == team_id)
        theirs = list(await session.scalars(projects))
        left = await open_work.find(session, user_id, theirs)
        # The last statement of its transaction, as ever.
        await news.tell(session, "team:left", user_id, team_id=team_id)
    await open_work.end(left)


async def _remove(session: AsyncSession, actor: Actor, team_id: UUID, user_id: UUID) -> None:
    _, own = await require_team(session, actor, team_id, lock=True)
    user, member = await _member(session, team_id, user_id)
    leaves = user_id == actor.id
    if not leaves and (own == "member" or (own == "admin" and member.role == "owner")):
        raise Forbidden("Only owners and admins remove people, and only owners remove an owner.")
    if member.role == "owner":
        await _refuse_last_owner(session, team_id, ", or delete the team." if leaves else ".")
    await session.delete(member)
    await _forget_invitations(session, team_id, user_id)
    audit.record(session, actor, "member:left" if leaves else "member:removed", user.name, team_id=team_id)
    await session.flush()


async def _member(session: AsyncSession, team_id: UUID, user_id: UUID) -> tuple[User, Member]:
    row = (
        await session.execute(
            select(User, Member)
            .join(Member, col(Member.user_id) == col(User.id))
            .where(col(Member.team_id) == team_id, col(Member.user_id) == user_id)
            .execution_options(**FRESH)
        )
    ).one_or_none()
    if row is None:
        raise NotFound("There is no such member.")
    return row[0], row[1]


async def _refuse_last_owner(session: AsyncSession, team_id: UUID, cure: str) -> None:
    """The team's row is locked, so nobody else goes at the same moment."""
    owners = select(func.count()).select_from(Member).where(col(Member.team_id) == team_id)
    if (await session.scalar(owners.where(col(Member.role) == "owner")) or 0) < 2:
        raise Conflict(LAST_OWNER + cure)


async def _forget_invitations(session: AsyncSession, team_id: UUID, user_id: UUID) -> None:
    """Whoever may invite no longer does not come back by a link of their own."""
    await session.execute(
        delete(Invitation).where(col(Invitation.team_id) == team_id, col(Invitation.created_by) == user_id)
    )


def _role(role: str) -> Role:
    for known in ROLES:
        if role == known:
            return known
    raise Invalid("The role must be owner, admin or member.", role="must be owner, admin or member")


def _view(user: User, member: Member) -> MemberView:
    return MemberView(user.id, user.name, user.username, user.avatar_url, member.role, member.joined_at)
