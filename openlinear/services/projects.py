"""Projects: a repository and the tasks that change it."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear import db
from openlinear.engine_client import engine_client
from openlinear.models import Project, Task, Team
from openlinear.models.columns import now
from openlinear.services import audit, news, remotes, text
from openlinear.services.access import require_project, require_team, visible_projects
from openlinear.services.errors import Conflict, Invalid
from openlinear.services.views import Actor, ProjectView

NAME_LIMIT = 100
DESCRIPTION_LIMIT = 10_000
CHECKS_MOST = 20
CHECK_LIMIT = 500


@dataclass(frozen=True, slots=True)
class ProjectInput:
    """`default_branch` is read from the remote unless named. The credential is for that remote alone.
    Without a team it is the actor's own.
    """

    name: str
    clone_url: str
    description: str = ""
    default_branch: str | None = None
    remote_username: str | None = None
    remote_password: str | None = None
    team_id: UUID | None = None
    checks: Sequence[str] | None = None

    def __repr__(self) -> str:
        return f"ProjectInput({self.name!r})"


@dataclass(frozen=True, slots=True)
class ProjectPatch:
    """What to change; None leaves a field as it is. An empty `remote_password` forgets the credential.
    Whose project it is stays (see `refuse_to_move`).
    """

    name: str | None = None
    clone_url: str | None = None
    description: str | None = None
    default_branch: str | None = None
    remote_username: str | None = None
    remote_password: str | None = None
    checks: Sequence[str] | None = None

    def __repr__(self) -> str:
        return f"ProjectPatch({self.name!r})"

    @property
    def touches_remote(self) -> bool:
        remote = (self.clone_url, self.default_branch, self.remote_username, self.remote_password)
        return any(value is not None for value in remote)


async def list_projects(session: AsyncSession, actor: Actor) -> list[ProjectView]:
    rows = await session.scalars(
        select(Project).where(visible_projects(actor)).order_by(col(Project.created_at), col(Project.id))
    )
    return [view(project) for project in rows]


async def get_project(session: AsyncSession, actor: Actor, project_id: UUID) -> ProjectView:
    return view(await require_project(session, actor, project_id))


async def create_project(actor: Actor, wanted: ProjectInput) -> ProjectView:
    """Make a project once its remote has been read. Takes no session: the remote may be slow.

    Invalid names `cloneUrl` or `defaultBranch` with the remote's reason; Unavailable when no engine
    answers. Until then the project is hidden, and it is gone again when anything fails. In a team,
    owners and admins make projects.
    """
    name = text.line(wanted.name, "name", limit=NAME_LIMIT)
    checks = _checked_commands(wanted.checks or ())
    description = text.block(wanted.description, "description", limit=DESCRIPTION_LIMIT)
    candidate = remotes.Candidate(
        url=remotes.checked_url(wanted.clone_url),
        branch=wanted.default_branch,
        sealed=remotes.sealed_credential(wanted.remote_username, wanted.remote_password),
    )
    if wanted.team_id is not None:
        async with db.transaction() as session:
            await require_team(session, actor, wanted.team_id, "admin")
    async with remotes.probed(actor, candidate) as (project_id, branch), db.transaction() as session:
        project = await session.get_one(Project, project_id, with_for_update=True)
        project.name, project.description, project.default_branch = name, description, branch
        project.checks = checks
        team = None
        if wanted.team_id is not None:
            team, _ = await require_team(session, actor, wanted.team_id, "admin", lock=True)
        audit.record(session, actor, "project:created", name, team_id=wanted.team_id)
        await reveal(session, project, team)
        return view(project)


async def update_project(actor: Actor, project_id: UUID, patch: ProjectPatch) -> ProjectView:
    """Change a project. What touches its remote is tried first, on a hidden copy."""
    if not patch.touches_remote:
        async with db.transaction() as session:
            project = await require_project(session, actor, project_id, lock=True, manage=True)
            return await _apply(session, actor, project, patch)
    async with db.transaction() as session:
        project = await require_project(session, actor, project_id, manage=True)
        if project.demo:
            raise Conflict("The demo project's repository is part of OpenLinear and cannot be changed.")
        candidate = remotes.changed(project, patch)
    async with remotes.probed(actor, candidate) as (_, branch), db.transaction() as session:
        project = await require_project(session, actor, project_id, lock=True, manage=True)
        await _refuse_running(session, project, "change its remote")
        _note_remote(session, actor, project, candidate, branch)
        project.clone_url, project.default_branch = candidate.url, branch
        project.remote_secret = candidate.sealed
        return await _apply(session, actor, project, patch)


async def refuse_to_move(actor: Actor, project_id: UUID, team_id: UUID | None) -> None:
    """Conflict unless this is whose project it is already."""
    async with db.transaction() as session:
        project = await require_project(session, actor, project_id, manage=True)
    if project.team_id != team_id:
        raise Conflict(
            "A project stays where it was made, since its task numbers and labels are those of its owner or "
            "team. Make a new project of the same repository there."
        )


async def delete_project(session: AsyncSession, actor: Actor, project_id: UUID) -> None:
    """Remove the project and its tasks. What was pushed stays where it is."""
    project = await require_project(session, actor, project_id, lock=True, manage=True)
    await _refuse_running(session, project, "delete it")
    team_id = project.team_id
    audit.record(session, actor, "project:deleted", project.name, team_id=team_id)
    await session.delete(project)
    await news.tell(session, "project:deleted", actor.id, team_id=team_id, project_id=project_id)


async def reveal(session: AsyncSession, project: Project, team: Team | None = None) -> None:
    """Give a hidden project its key, its own or its team's, and let people see it. The last thing of its
    transaction.
    """
    project.verified_at = now()
    if team is not None:
        project.team_id, project.key = team.id, team.key
    else:
        project.key = text.free_key(text.stem(project.name, "PROJECT"), await _keys_beside(session, project))
    try:
        await session.flush()
    except IntegrityError:
        raise Conflict("Another project was made at the same moment. Try again.") from None
    await news.tell(session, "project:created", project.user_id, project_id=project.id)


def view(project: Project) -> ProjectView:
    return ProjectView(
        id=project.id,
        name=project.name,
        key=project.key,
        description=project.description,
        clone_url=project.clone_url,
        default_branch=project.default_branch,
        demo=project.demo,
        has_credential=project.remote_secret is not None,
        checks=tuple(project.checks),
        created_at=project.created_at,
        team_id=project.team_id,
    )


async def _keys_beside(session: AsyncSession, project: Project) -> set[str]:
    """The keys of its owner's other projects, those in teams apart."""
    query = select(col(Project.key)).where(
        col(Project.user_id) == project.user_id,
        col(Project.team_id).is_(None),
        col(Project.verified_at).is_not(None),
        col(Project.id) != project.id,
    )
    return set(await session.scalars(query))


def _note_remote(
    session: AsyncSession, actor: Actor, project: Project, found: remotes.Candidate, branch: str
) -> None:
    """Write down what changes about the remote: where it is may be told, its credential may not."""
    details: dict[str, str] = {}
    if found.url != project.clone_url:
        details["cloneUrl"] = found.url
    if branch != project.default_branch:
        details["defaultBranch"] = branch
    if found.sealed != project.remote_secret:
        details["credential"] = "changed" if found.sealed else "forgotten"
    audit.record(session, actor, "project:remote", project.name, team_id=project.team_id, **details)


async def _apply(session: AsyncSession, actor: Actor, project: Project, patch: ProjectPatch) -> ProjectView:
    if patch.name is not None:
        name = text.line(patch.name, "name", limit=NAME_LIMIT)
        if name != project.name:
            audit.record(
                session, actor, "project:renamed", name, team_id=project.team_id, before=project.name
            )
        project.name = name
    if patch.checks is not None:
        project.checks = _checked_commands(patch.checks)
    if patch.description is not None:
        project.description = text.block(patch.description, "description", limit=DESCRIPTION_LIMIT)
    await news.tell(session, "project:updated", actor.id, project_id=project.id)
    return view(project)


def _checked_commands(commands: Sequence[str]) -> list[str]:
    """The commands as they are kept, empty ones left out."""
    if len(commands) > CHECKS_MOST:
        raise Invalid(f"A project has at most {CHECKS_MOST} checks.", checks=f"at most {CHECKS_MOST}")
    lines = [text.line(one, "checks", limit=CHECK_LIMIT, required=False) for one in commands]
    return [line for line in lines if line]


async def _refuse_running(session: AsyncSession, project: Project, what: str) -> None:
    """A run uses the remote as it is now: nothing is pulled from under it."""
    task_ids = list(await session.scalars(select(col(Task.id)).where(col(Task.project_id) == project.id)))
    latest = await engine_client().latest(session, task_ids)
    running = sum(run.ended_at is None for run in latest.values())
    if running:
        raise Conflict(f"{running} of this project's tasks are running. Cancel them first, then {what}.")
