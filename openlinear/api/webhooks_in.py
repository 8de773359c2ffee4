"""Webhooks over HTTP: those that GitHub sends, and the secrets they are signed with."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Request

from openlinear.api.fields import Time
from openlinear.api.security import Me, Session
from openlinear.api.shapes import Shape
from openlinear.services import github_hooks

router = APIRouter(prefix="/api", tags=["webhooks"])


class GitHubWebhook(Shape):
    project: str
    """Its name."""
    url: str
    """What to enter at GitHub as the payload URL."""
    created_at: Time
    heard_at: Time | None


class GitHubWebhookSecret(GitHubWebhook):
    """The only answer that holds the secret."""

    secret: str


@router.post("/webhooks/github", status_code=204)
async def receive(
    request: Request,
    session: Session,
    project: UUID | None = None,
    x_github_event: Annotated[str, Header(max_length=100)] = "",
    x_hub_signature_256: Annotated[str, Header(max_length=100)] = "",
) -> None:
    """For GitHub. No login: the signature says who sends. 401 for any that is not known."""
    body = await request.body()
    await github_hooks.receive(session, x_github_event, x_hub_signature_256, body, project)


@router.get("/projects/{project_id}/github-webhook")
async def show(project_id: UUID, session: Session, actor: Me) -> GitHubWebhook:
    return GitHubWebhook.model_validate(await github_hooks.get_hook(session, actor, project_id))


@router.post("/projects/{project_id}/github-webhook", status_code=201)
async def set_up(project_id: UUID, session: Session, actor: Me) -> GitHubWebhookSecret:
    """A new secret in place of any former one. The answer holds it, this once."""
    made = await github_hooks.set_up(session, actor, project_id)
    shown = GitHubWebhook.model_validate(made.hook).model_dump()
    return GitHubWebhookSecret(**shown, secret=made.secret)


@router.delete("/projects/{project_id}/github-webhook", status_code=204)
async def remove(project_id: UUID, session: Session, actor: Me) -> None:
    await github_hooks.remove(session, actor, project_id)
