"""Webhooks over HTTP: those that this installation sends."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field, StrictBool

from openlinear.api.fields import Time
from openlinear.api.projects import Limit
from openlinear.api.security import Me, Session
from openlinear.api.shapes import Items, Shape, page_of
from openlinear.services import paging, webhooks
from openlinear.services.webhook_events import EVENTS

router = APIRouter(prefix="/api/webhooks", tags=["webhooks"])


class Webhook(Shape):
    id: UUID
    team_id: UUID | None
    url: str
    description: str
    events: list[str]
    enabled: bool
    disabled_reason: str = Field(description="Why it disabled itself; empty where a person did.")
    failing_since: Time | None
    created_at: Time


class WebhookSecret(Webhook):
    """The only answers that hold the secret."""

    secret: str


class NewWebhook(Shape):
    url: str
    description: str = ""
    events: list[str] = Field(list(EVENTS), max_length=len(EVENTS))
    team_id: UUID | None = Field(None, description="Whose it is; the caller's own without.")


class WebhookChange(Shape):
    url: str | None = None
    description: str | None = None
    events: list[str] | None = Field(None, max_length=len(EVENTS))
    enabled: StrictBool | None = None


class Delivery(Shape):
    id: UUID
    type: str
    status: str = Field(description="pending, delivered or failed.")
    attempts: int
    response_code: int | None
    error: str
    created_at: Time
    attempted_at: Time | None
    next_attempt_at: Time | None


@router.get("")
async def index(
    session: Session,
    actor: Me,
    team_id: Annotated[UUID | None, Query(alias="teamId")] = None,
    limit: Limit = paging.LIMIT,
    cursor: str | None = None,
) -> Items[Webhook]:
    """The caller's own, or a team's."""
    found = await webhooks.list_webhooks(session, actor, team_id)
    return page_of(paging.sliced(found, cursor, limit), Webhook)


@router.post("", status_code=201)
async def create(body: NewWebhook, session: Session, actor: Me) -> WebhookSecret:
    """The answer holds the secret, this once. Messages are signed by the Standard Webhooks specification."""
    made = await webhooks.create_webhook(
        session, actor, body.url, description=body.description, events=body.events, team_id=body.team_id
    )
    return _with_secret(made)


@router.get("/{webhook_id}")
async def show(webhook_id: UUID, session: Session, actor: Me) -> Webhook:
    return Webhook.model_validate(await webhooks.get_webhook(session, actor, webhook_id))


@router.patch("/{webhook_id}")
async def update(webhook_id: UUID, body: WebhookChange, session: Session, actor: Me) -> Webhook:
    patch = webhooks.WebhookPatch(body.url, body.description, body.events, body.enabled)
    return Webhook.model_validate(await webhooks.update_webhook(session, actor, webhook_id, patch))


@router.delete("/{webhook_id}", status_code=204)
async def delete(webhook_id: UUID, session: Session, actor: Me) -> None:
    await webhooks.delete_webhook(session, actor, webhook_id)


@router.post("/{webhook_id}/secret")
async def rotate(webhook_id: UUID, session: Session, actor: Me) -> WebhookSecret:
    """A new secret. For a day messages carry the former one's signature too."""
    return _with_secret(await webhooks.rotate_secret(session, actor, webhook_id))


@router.get("/{webhook_id}/deliveries")
async def list_deliveries(
    webhook_id: UUID, session: Session, actor: Me, limit: Limit = paging.LIMIT, cursor: str | None = None
) -> Items[Delivery]:
    """The last 30 days', the latest first."""
    found = await webhooks.deliveries(session, actor, webhook_id, limit=limit, cursor=cursor)
    return page_of(found, Delivery)


@router.post("/{webhook_id}/test", status_code=202)
async def send_test(webhook_id: UUID, session: Session, actor: Me) -> Delivery:
    return Delivery.model_validate(await webhooks.send_test(session, actor, webhook_id))


@router.post("/{webhook_id}/deliveries/{delivery_id}/retry", status_code=202)
async def send_again(webhook_id: UUID, delivery_id: UUID, session: Session, actor: Me) -> Delivery:
    """The same message by the same id."""
    return Delivery.model_validate(await webhooks.send_again(session, actor, webhook_id, delivery_id))


def _with_secret(made: webhooks.Made) -> WebhookSecret:
    shown = Webhook.model_validate(made.webhook).model_dump()
    return WebhookSecret(**shown, secret=made.secret)
