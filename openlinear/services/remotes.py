"""Reading a project's remote before anybody sees the project."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol
from uuid import UUID, uuid4

from sqlalchemy import delete
from sqlmodel import col

from engine.client import RemoteFound
from engine.enqueue import EngineAway
from openlinear import db
from openlinear.engine_client import engine_client
from openlinear.models import Project
from openlinear.models.columns import now
from openlinear.services import credentials, text
from openlinear.services.errors import Invalid, Unavailable
from openlinear.services.views import Actor

URL_LIMIT = 2000
BRANCH_LIMIT = 250
NAMED_BRANCHES = 200
"""A remote with this many branches or more may have others that the engine did not name."""
ABANDONED = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A remote to try. `branch` is the wanted default branch, or None for the remote's own."""

    url: str
    branch: str | None
    sealed: str | None = field(repr=False)


class RemotePatch(Protocol):
    @property
    def clone_url(self) -> str | None: ...
    @property
    def default_branch(self) -> str | None: ...
    @property
    def remote_username(self) -> str | None: ...
    @property
    def remote_password(self) -> str | None: ...


def checked_url(url: str) -> str:
    """A clone URL that may be tried, by its looks. Invalid says what is wrong and what to write."""
    url = text.line(url, "cloneUrl", limit=URL_LIMIT)
    trouble = engine_client().remote_trouble(url)
    if trouble is None and url.lower().startswith("demo:"):
        trouble = "Only OpenLinear itself makes demo projects. Give an https clone URL."
    if trouble is not None:
        raise Invalid(trouble, cloneUrl=trouble)
    return url


def sealed_credential(username: str | None, password: str | None) -> str | None:
    """The credential sealed, or None without a password. Forges take any user name with a token."""
    if not password:
        return None
    for value, name in ((username or "", "remoteUsername"), (password, "remotePassword")):
        if len(value) > 4096 or any(ord(c) < 32 or "\ud800" <= c <= "\udfff" for c in value):
            reason = "holds a control character or is too long"
            raise Invalid(f"The remote's credential {reason}.", **{name: reason})
    return credentials.seal_remote(username or "oauth2", password)


def changed(project: Project, patch: RemotePatch) -> Candidate:
    """The project's remote with the patch on it. Another host never sees the stored credential."""
    url = project.clone_url if patch.clone_url is None else checked_url(patch.clone_url)
    sealed = project.remote_secret
    if credentials.origin(url) != credentials.origin(project.clone_url) or patch.remote_password == "":
        sealed = None
    if patch.remote_password:
        sealed = sealed_credential(patch.remote_username, patch.remote_password)
    same = url == project.clone_url
    branch = patch.default_branch or (project.default_branch if same else None)
    return Candidate(url, branch, sealed)


@asynccontextmanager
async def probed(actor: Actor, candidate: Candidate) -> AsyncIterator[tuple[UUID, str]]:
    """Read a remote under a hidden project: its id and the default branch.

    The caller may make that project visible; when it did not, the project is gone afterwards.
    """
    wanted = candidate.branch and text.line(candidate.branch, "defaultBranch", limit=BRANCH_LIMIT)
    project_id = await _hide(actor, candidate)
    try:
        try:
            found = await engine_client().check_remote(project_id, actor.id)
        except EngineAway:
            raise Unavailable(
                "No engine answered, so the repository could not be read. Start one (`openlinear up`), "
                "then try again."
            ) from None
        yield project_id, _branch(found, wanted)
    finally:
        await asyncio.shield(_sweep(project_id))


async def _hide(actor: Actor, candidate: Candidate) -> UUID:
    async with db.transaction() as session:
        project = Project(
            id=uuid4(),
            user_id=actor.id,
            name="",
            key="",
            clone_url=candidate.url,
            remote_secret=candidate.sealed,
        )
        session.add(project)
        return project.id


def _branch(found: RemoteFound, wanted: str | None) -> str:
    if found.error is not None:
        raise Invalid(found.error, cloneUrl=found.error)
    if wanted is None:
        if not found.default_branch:
            reason = "The repository has no branch yet. Push a first commit, then try again."
            raise Invalid(reason, cloneUrl=reason)
        return found.default_branch
    if wanted not in found.branches and len(found.branches) < NAMED_BRANCHES:
        reason = f'The repository has no branch "{wanted}".'
        raise Invalid(reason, defaultBranch=reason)
    return wanted


async def _sweep(project_id: UUID) -> None:
    """Remove this hidden project if it still is one, and those whose web server died midway."""
    hidden = col(Project.verified_at).is_(None)
    abandoned = col(Project.created_at) < now() - ABANDONED
    async with db.transaction() as session:
        await session.execute(delete(Project).where(hidden, (col(Project.id) == project_id) | abandoned))
