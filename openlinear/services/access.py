"""Who may see and change what: the one place that says so.

A project belongs to a person or to a team. Whoever may not see a project finds neither it nor anything
in it. In a team, members work with tasks and labels and execute; admins and owners also manage: projects
and their credentials, limits, members, other people's runs.
"""

from collections.abc import Collection
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, or_, select
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear.models import Label, Member, Project, Task, Team
from openlinear.services.errors import Forbidden, NotFound
from openlinear.services.views import Actor

FRESH = {"populate_existing": True}
"""A lock is waited for: what it finds counts, not what the session read before."""

Role = Literal["member", "admin", "owner"]
ROLES: tuple[Role, ...] = ("member", "admin", "owner")
"""The lesser first."""
NO_TEAM = "There is no such team."
ADMINS_ONLY = "Only administrators of this server may do that. Ask one of them."


def usable_by(user_id: UUID) -> ColumnElement[bool]:
    """The condition on `Project` for what is this user's own or their teams', hidden ones included."""
    own = and_(col(Project.user_id) == user_id, col(Project.team_id).is_(None))
    return or_(own, col(Project.team_id).in_(_teams_of(user_id)))


def visible_projects(actor: Actor) -> ColumnElement[bool]:
    """The condition on `Project` for what this actor may see."""
    return and_(usable_by(actor.id), col(Project.verified_at).is_not(None))


def visible_labels(actor: Actor) -> ColumnElement[bool]:
    """The condition on `Label` for what this actor may see, use and change."""
    return or_(col(Label.user_id) == actor.id, col(Label.team_id).in_(_teams_of(actor.id)))


async def require_project(
    session: AsyncSession, actor: Actor, project_id: UUID, *, lock: bool = False, manage: bool = False
) -> Project:
    """The project, or NotFound. `lock` holds its row; `manage` asks for who may change its settings."""
    query = select(Project).where(col(Project.id) == project_id, visible_projects(actor))
    if lock:
        query = query.with_for_update().execution_options(**FRESH)
    project = await session.scalar(query)
    if project is None:
        raise NotFound("There is no such project.")
    if manage and not await may_manage(session, actor, project):
        raise Forbidden("Only owners and admins of the team change its projects.")
    return project


async def require_task(
    session: AsyncSession, actor: Actor, task_id: UUID, *, lock: bool = False
) -> tuple[Task, Project]:
    """The task and its project, or NotFound. `lock` holds the task's row."""
    query = (
        select(Task, Project)
        .join(Project, col(Project.id) == col(Task.project_id))
        .where(col(Task.id) == task_id, visible_projects(actor))
    )
    if lock:
        query = query.with_for_update(of=Task).execution_options(**FRESH)
    row = (await session.execute(query)).one_or_none()
    if row is None:
        raise NotFound("There is no such task.")
    return row[0], row[1]


async def require_team(
    session: AsyncSession, actor: Actor, team_id: UUID, role: Role = "member", *, lock: bool = False
) -> tuple[Team, Role]:
    """The team and the actor's role in it. NotFound for who is no member, Forbidden for a lesser role.

    `lock` holds the team's row: who is in it, and as what, changes under that lock alone.
    """
    query = select(Team).where(col(Team.id) == team_id, col(Team.id).in_(_teams_of(actor.id)))
    if lock:
        query = query.with_for_update(key_share=True).execution_options(**FRESH)
    team = await session.scalar(query)
    has = await role_in(session, actor.id, team_id)
    if team is None or has is None:
        raise NotFound(NO_TEAM)
    if ROLES.index(has) < ROLES.index(role):
        who = "owners" if role == "owner" else "owners and admins"
        raise Forbidden(f"Only {who} of the team may do that.")
    return team, has


def require_login(actor: Actor) -> None:
    """Forbidden for an access token: who finds one should not be able to stay."""
    if actor.scope is not None:
        raise Forbidden(
            "An access token may not look after the account itself. Sign in and use the Account page, "
            "or send the token of a login."
        )


def require_admin(actor: Actor) -> None:
    """Forbidden unless an administrator of this installation asks, signed in."""
    require_login(actor)
    if not actor.admin:
        raise Forbidden(ADMINS_ONLY)


async def role_in(session: AsyncSession, user_id: UUID, team_id: UUID) -> Role | None:
    """None for who is no member. Unscoped: what the caller may know of them is the caller's to check."""
    query = select(col(Member.role)).where(col(Member.team_id) == team_id, col(Member.user_id) == user_id)
    found: Role | None = await session.scalar(query)
    return found


async def may_manage(session: AsyncSession, actor: Actor, project: Project) -> bool:
    """Whether this actor, who may see it, may change it: its owner, or a team's owners and admins."""
    if project.team_id is None:
        return project.user_id == actor.id
    return await role_in(session, actor.id, project.team_id) in ("admin", "owner")


async def require_runner(
    session: AsyncSession, actor: Actor, project: Project, runner: UUID, what: str
) -> None:
    """Forbidden unless the actor began this work, or is an owner or admin of the project's team."""
    if runner == actor.id or (project.team_id and await may_manage(session, actor, project)):
        return
    raise Forbidden(f"Somebody else executes this; only they and the team's admins can {what}.")


async def hold_membership(session: AsyncSession, actor: Actor, project: Project) -> None:
    """Nobody is removed from the project's team while what the actor begins now is not committed."""
    if project.team_id is not None:
        mine = (col(Member.team_id) == project.team_id) & (col(Member.user_id) == actor.id)
        await session.execute(select(col(Member.role)).where(mine).with_for_update(read=True, key_share=True))


async def viewers(session: AsyncSession, project_ids: Collection[UUID]) -> dict[UUID, frozenset[UUID]]:
    """Who may see each of these projects, in one query. Unscoped: for what fans news out."""
    if not project_ids:
        return {}
    query = (
        select(col(Project.id), col(Project.team_id), col(Project.user_id), col(Member.user_id))
        .outerjoin(Member, col(Member.team_id) == col(Project.team_id))
        .where(col(Project.id).in_(project_ids), col(Project.verified_at).is_not(None))
    )
    found: dict[UUID, set[UUID]] = {}
    for project_id, team_id, owner_id, member_id in await session.execute(query):
        seen_by = found.setdefault(project_id, set())
        if team_id is None:
            seen_by.add(owner_id)
        elif member_id is not None:
            seen_by.add(member_id)
    return {project_id: frozenset(users) for project_id, users in found.items()}


async def members_of(session: AsyncSession, team_ids: Collection[UUID]) -> dict[UUID, frozenset[UUID]]:
    """Who is in each of these teams. Unscoped, as `viewers`."""
    found: dict[UUID, set[UUID]] = {}
    if team_ids:
        query = select(col(Member.team_id), col(Member.user_id)).where(col(Member.team_id).in_(team_ids))
        for team_id, user_id in await session.execute(query):
            found.setdefault(team_id, set()).add(user_id)
    return {team_id: frozenset(users) for team_id, users in found.items()}


async def out_of_sight(session: AsyncSession, actor: Actor, project_ids: Collection[UUID]) -> set[UUID]:
    """Which of these projects are there, but not for this actor."""
    if not project_ids:
        return set()
    rows = await session.scalars(
        select(col(Project.id)).where(col(Project.id).in_(project_ids), ~usable_by(actor.id))
    )
    return set(rows)


def _teams_of(user_id: UUID) -> Select[Any]:
    return select(col(Member.team_id)).where(col(Member.user_id) == user_id)
