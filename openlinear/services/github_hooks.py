"""GitHub's webhooks in: who may say what of which project, by what they sign with."""

import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear import vault
from openlinear.models import GitHubHook, GitHubMessage, Project
from openlinear.models.columns import now
from openlinear.services import audit, pull_requests
from openlinear.services.access import require_project, require_team, visible_projects
from openlinear.services.errors import Invalid, NotFound, NotSignedIn
from openlinear.services.views import Actor
from openlinear.services.webhook_secrets import GITHUB
from openlinear.settings import get_settings

UNKNOWN = "The signature is not one that this server knows."
UNREADABLE = "This is neither JSON nor a form with a payload: choose application/json at GitHub."
FORM = b"payload="
NOBODY = secrets.token_hex(32)
"""Signs for who is not there: that takes as long as a wrong signature."""


@dataclass(frozen=True, slots=True)
class HookView:
    """How GitHub tells of one project. `heard_at` is when it last did."""

    project: str
    """Its name."""
    url: str
    created_at: datetime
    heard_at: datetime | None


@dataclass(frozen=True, slots=True)
class MadeHook:
    """`secret` is shown this once."""

    hook: HookView
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Hooked:
    """A project, and how GitHub tells of it, if it does."""

    project_id: UUID
    name: str
    hook: HookView | None


async def list_hooks(session: AsyncSession, actor: Actor, team_id: UUID | None = None) -> list[Hooked]:
    """Of the team's projects, for its owners and admins; without a team of the actor's own."""
    if team_id is not None:
        await require_team(session, actor, team_id, "admin")
        whose = col(Project.team_id) == team_id
    else:
        whose = col(Project.team_id).is_(None)
    rows = await session.execute(
        select(Project, GitHubHook)
        .outerjoin(GitHubHook, col(GitHubHook.project_id) == col(Project.id))
        .where(visible_projects(actor), whose, ~col(Project.demo))
        .order_by(col(Project.created_at), col(Project.id))
    )
    return [
        Hooked(project.id, project.name, _view(project, hook) if hook else None) for project, hook in rows
    ]


async def get_hook(session: AsyncSession, actor: Actor, project_id: UUID) -> HookView:
    """For who may change the project. NotFound while there is none."""
    project = await require_project(session, actor, project_id, manage=True)
    hook = await session.get(GitHubHook, project_id)
    if hook is None:
        raise NotFound("No GitHub webhook is set up for this project.")
    return _view(project, hook)


async def set_up(session: AsyncSession, actor: Actor, project_id: UUID) -> MadeHook:
    """A new secret, in place of any former one: it counts from now on, the former one no more."""
    project = await require_project(session, actor, project_id, lock=True, manage=True)
    secret = secrets.token_hex(32)
    hook = await session.get(GitHubHook, project_id)
    if hook is None:
        hook = GitHubHook(project_id=project_id, secret="")
        session.add(hook)
    hook.secret, hook.created_at, hook.heard_at = vault.seal(GITHUB, secret), now(), None
    audit.record(session, actor, "project:hooked", project.name, team_id=project.team_id)
    await session.flush()
    return MadeHook(_view(project, hook), secret)


async def remove(session: AsyncSession, actor: Actor, project_id: UUID) -> None:
    project = await require_project(session, actor, project_id, lock=True, manage=True)
    hook = await session.get(GitHubHook, project_id)
    if hook is None:
        raise NotFound("No GitHub webhook is set up for this project.")
    audit.record(session, actor, "project:unhooked", project.name, team_id=project.team_id)
    await session.delete(hook)


async def receive(
    session: AsyncSession, event: str, signature: str, body: bytes, project_id: UUID | None
) -> None:
    """Take what GitHub sent, signed with the project's secret or, without a project, the installation's.

    NotSignedIn for anything else: whether it is unsigned, or the project is not there, is one answer. Invalid
    for a body that is in neither of GitHub's two forms. What was heard before changes nothing: each
    signature counts once, and of a pull request only what is newer.
    """
    secret = await _secret(session, project_id)
    expected = "sha256=" + hmac.digest((secret or NOBODY).encode(), body, "sha256").hex()
    if not hmac.compare_digest(expected.encode(), signature.encode()) or not secret:
        raise NotSignedIn(UNKNOWN)
    said = _parsed(body)
    known = hashlib.sha256(f"{project_id} {event} {expected}".encode()).hexdigest()
    first = insert(GitHubMessage).values(signature=known, heard_at=now()).on_conflict_do_nothing()
    if await session.scalar(first.returning(col(GitHubMessage.signature))) is None:
        return
    if project_id is not None:
        theirs = update(GitHubHook).where(col(GitHubHook.project_id) == project_id)
        await session.execute(theirs.values(heard_at=now()))
    change = pull_requests.read(said) if event == "pull_request" else None
    if change is not None:
        await pull_requests.changed(session, change, project_id)


async def _secret(session: AsyncSession, project_id: UUID | None) -> str:
    """What the sender has to know; empty where nobody may send."""
    if project_id is None:
        return get_settings().github_webhook_secret.get_secret_value()
    sealed = await session.scalar(
        select(col(GitHubHook.secret)).where(col(GitHubHook.project_id) == project_id)
    )
    try:
        return vault.unseal(GITHUB, sealed) if sealed else ""
    except vault.Unreadable:
        return ""


def _parsed(body: bytes) -> Any:
    """What GitHub says, as JSON or in a form's field `payload`, which is its first choice."""
    try:
        form = parse_qs(body.decode()) if body.startswith(FORM) else {}
        return json.loads(form["payload"][0] if form else body)
    except (ValueError, KeyError, RecursionError):
        raise Invalid(UNREADABLE) from None


def _view(project: Project, hook: GitHubHook) -> HookView:
    url = f"{get_settings().public_url}/api/webhooks/github?project={hook.project_id}"
    return HookView(project.name, url, hook.created_at, hook.heard_at)
