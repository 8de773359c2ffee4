"""Teams: people who share projects, labels and task numbers."""

import re
from dataclasses import dataclass
from uuid import UUID, uuid4

from sqlalchemy import func, select
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from engine.limits import Limits
from openlinear.models import Member, Project, Team
from openlinear.services import audit, text
from openlinear.services.access import NO_TEAM, Role, require_team
from openlinear.services.errors import Conflict, Invalid, NotFound
from openlinear.services.limits import LimitsPatch, changed
from openlinear.services.team_views import TeamView
from openlinear.services.views import Actor

NAME_LIMIT = 100
KEY = re.compile(r"[A-Z][A-Z0-9]{0,5}")


@dataclass(frozen=True, slots=True)
class TeamPatch:
    """What to change; None leaves it as it is. The key stays: it is in every task's number."""

    name: str | None = None
    limits: LimitsPatch | None = None


async def list_teams(session: AsyncSession, actor: Actor) -> list[TeamView]:
    """The actor's teams by name."""
    return sorted(await _views(session, actor), key=lambda team: (team.name.casefold(), team.id))


async def get_team(session: AsyncSession, actor: Actor, team_id: UUID) -> TeamView:
    found = await _views(session, actor, team_id)
    if not found:
        raise NotFound(NO_TEAM)
    return found[0]


async def create_team(session: AsyncSession, actor: Actor, name: str, key: str | None = None) -> TeamView:
    """A new team whose owner is the actor. Its key is made of the name unless given."""
    name = text.line(name, "name", limit=NAME_LIMIT)
    team = Team(id=uuid4(), name=name, key=_key(key) if key else await _free_key(session, actor, name))
    session.add(team)
    await session.flush()
    session.add(Member(team_id=team.id, user_id=actor.id, role="owner"))
    audit.record(session, actor, "team:created", name, team_id=team.id, key=team.key)
    await session.flush()
    return await get_team(session, actor, team.id)


async def update_team(session: AsyncSession, actor: Actor, team_id: UUID, patch: TeamPatch) -> TeamView:
    """Rename the team or bound what its runs cost. For owners and admins."""
    team, _ = await require_team(session, actor, team_id, "admin", lock=True)
    if patch.name is not None and (name := text.line(patch.name, "name", limit=NAME_LIMIT)) != team.name:
        audit.record(session, actor, "team:renamed", name, team_id=team.id, before=team.name)
        team.name = name
    if patch.limits:
        team.limits = changed(team.limits, patch.limits)
        audit.record(session, actor, "team:limited", team.name, team_id=team.id, limits=dict(patch.limits))
    await session.flush()
    return await get_team(session, actor, team_id)


async def delete_team(session: AsyncSession, actor: Actor, team_id: UUID) -> None:
    """For owners. Conflict while it has projects: those go first, one by one, or nothing goes."""
    team, _ = await require_team(session, actor, team_id, "owner")
    await session.execute(select(col(Team.id)).where(col(Team.id) == team_id).with_for_update())
    count = await session.scalar(
        select(func.count()).select_from(Project).where(col(Project.team_id) == team_id)
    )
    if count:
        raise Conflict(f"The team has {count} project(s). Delete them first, then the team.")
    audit.record(session, actor, "team:deleted", team.name, team_id=team.id)
    await session.delete(team)


async def _views(session: AsyncSession, actor: Actor, team_id: UUID | None = None) -> list[TeamView]:
    members = select(func.count()).where(col(Member.team_id) == col(Team.id)).scalar_subquery()
    there = (col(Project.team_id) == col(Team.id)) & col(Project.verified_at).is_not(None)
    projects = select(func.count()).where(there).scalar_subquery()
    mine = select(col(Member.team_id), col(Member.role)).where(col(Member.user_id) == actor.id).subquery()
    query = select(Team, mine.c.role, members, projects).join(mine, mine.c.team_id == col(Team.id))
    if team_id is not None:
        query = query.where(col(Team.id) == team_id)
    return [_view(*row) for row in await session.execute(query)]


def _view(team: Team, role: Role, members: int, projects: int) -> TeamView:
    return TeamView(
        id=team.id,
        name=team.name,
        key=team.key,
        role=role,
        members=members,
        projects=projects,
        created_at=team.created_at,
        limits=Limits(**team.limits),
    )


def _key(key: str) -> str:
    if not KEY.fullmatch(key):
        reason = "must be 1 to 6 capital letters and digits, a letter first"
        raise Invalid(f"The key {reason}.", key=reason)
    return key


async def _free_key(session: AsyncSession, actor: Actor, name: str) -> str:
    """A key that no other team of the actor's has; what strangers' teams are called is not theirs to know."""
    taken = {team.key for team in await _views(session, actor)}
    return text.free_key(text.stem(name, "TEAM"), taken)
