"""Webhooks: a team's, which its owners and admins look after, or a person's, for their own projects."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, func, select
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear.models import Member, Webhook, WebhookDelivery
from openlinear.models.columns import now
from openlinear.outside import receiver
from openlinear.services import audit, paging, text, webhook_secrets
from openlinear.services.access import FRESH, require_team
from openlinear.services.errors import Conflict, Forbidden, Invalid, NotFound
from openlinear.services.views import Actor, Page
from openlinear.services.webhook_events import EVENTS, TEST, body
from openlinear.settings import get_settings

MOST = 10
"""Of one owner."""
URL_LIMIT = 2000
DESCRIPTION_LIMIT = 200
TESTS_APART = timedelta(seconds=5)
MISSING = "There is no such webhook."


@dataclass(frozen=True, slots=True)
class WebhookView:
    id: UUID
    team_id: UUID | None
    url: str
    description: str
    events: tuple[str, ...]
    enabled: bool
    disabled_reason: str
    """Why it disabled itself; empty where a person did."""
    failing_since: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Made:
    """A webhook and what it signs with, which is shown this once."""

    webhook: WebhookView
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DeliveryView:
    id: UUID
    type: str
    status: str
    """pending, delivered, failed."""
    attempts: int
    response_code: int | None
    error: str
    created_at: datetime
    attempted_at: datetime | None
    next_attempt_at: datetime | None


@dataclass(frozen=True, slots=True)
class WebhookPatch:
    """What to change; None leaves it as it is."""

    url: str | None = None
    description: str | None = None
    events: Sequence[str] | None = None
    enabled: bool | None = None


async def list_webhooks(
    session: AsyncSession, actor: Actor, team_id: UUID | None = None
) -> list[WebhookView]:
    """The team's, for its owners and admins; without a team the actor's own. The oldest first."""
    if team_id is not None:
        await require_team(session, actor, team_id, "admin")
    rows = await session.scalars(
        select(Webhook).where(_owned(actor, team_id)).order_by(col(Webhook.created_at), col(Webhook.id))
    )
    return [_view(row) for row in rows]


async def create_webhook(
    session: AsyncSession,
    actor: Actor,
    url: str,
    *,
    description: str = "",
    events: Sequence[str] = EVENTS,
    team_id: UUID | None = None,
) -> Made:
    """Tell this address of what ends from now on. Conflict where the owner has many already."""
    url, events = _checked_url(url), _checked_events(events)
    description = text.line(description, "description", limit=DESCRIPTION_LIMIT, required=False)
    if team_id is not None:
        await require_team(session, actor, team_id, "admin", lock=True)
    else:
        await session.execute(
            select(func.pg_advisory_xact_lock(func.hashtextextended(f"webhooks {actor.id}", 0)))
        )
    count = await session.scalar(select(func.count()).select_from(Webhook).where(_owned(actor, team_id)))
    if (count or 0) >= MOST:
        raise Conflict(f"There are {MOST} webhooks already. Delete one first.")
    secret = webhook_secrets.fresh()
    hook = Webhook(
        id=uuid4(),
        user_id=actor.id if team_id is None else None,
        team_id=team_id,
        url=url,
        description=description,
        events=list(events),
        secret=webhook_secrets.sealed(secret),
    )
    session.add(hook)
    _note(session, actor, hook, "webhook:created")
    await session.flush()
    return Made(_view(hook), secret)


async def get_webhook(session: AsyncSession, actor: Actor, webhook_id: UUID) -> WebhookView:
    return _view(await _require(session, actor, webhook_id))


async def update_webhook(
    session: AsyncSession, actor: Actor, webhook_id: UUID, patch: WebhookPatch
) -> WebhookView:
    """Change it. Enabling forgets what failed before."""
    hook = await _require(session, actor, webhook_id, lock=True)
    if patch.url is not None:
        hook.url = _checked_url(patch.url)
    if patch.description is not None:
        hook.description = text.line(
            patch.description, "description", limit=DESCRIPTION_LIMIT, required=False
        )
    if patch.events is not None:
        hook.events = list(_checked_events(patch.events))
    if patch.enabled is not None:
        hook.enabled = patch.enabled
        hook.disabled_reason, hook.failing_since = "", None
    _note(session, actor, hook, "webhook:changed")
    await session.flush()
    return _view(hook)


async def rotate_secret(session: AsyncSession, actor: Actor, webhook_id: UUID) -> Made:
    """A new secret. For a day the former one signs as well."""
    hook = await _require(session, actor, webhook_id, lock=True)
    secret = webhook_secrets.fresh()
    hook.secret = webhook_secrets.rotated(hook.secret, secret)
    _note(session, actor, hook, "webhook:rotated")
    await session.flush()
    return Made(_view(hook), secret)


async def delete_webhook(session: AsyncSession, actor: Actor, webhook_id: UUID) -> None:
    """What was not delivered yet is not."""
    hook = await _require(session, actor, webhook_id, lock=True)
    _note(session, actor, hook, "webhook:deleted")
    await session.delete(hook)


async def deliveries(
    session: AsyncSession,
    actor: Actor,
    webhook_id: UUID,
    *,
    limit: int = paging.LIMIT,
    cursor: str | None = None,
) -> Page[DeliveryView]:
    """What became of the last 30 days' messages, the latest first."""
    await _require(session, actor, webhook_id)
    at, id_ = col(WebhookDelivery.created_at), col(WebhookDelivery.id)
    query = select(WebhookDelivery).where(col(WebhookDelivery.webhook_id) == webhook_id)
    if cursor is not None:
        before, last = paging.moment(cursor)
        query = query.where((at < before) | ((at == before) & (id_ < last)))
    query = query.order_by(at.desc(), id_.desc()).limit(paging.limited(limit) + 1)
    found = list(await session.scalars(query))
    page = found[:limit]
    more = len(found) > limit
    cursor = paging.encode([page[-1].created_at.isoformat(), str(page[-1].id)]) if more else None
    return Page(tuple(_delivery(one) for one in page), cursor)


async def send_test(session: AsyncSession, actor: Actor, webhook_id: UUID) -> DeliveryView:
    """Send a message that says no more than that it is a test. Conflict while the webhook is disabled."""
    hook = await _require(session, actor, webhook_id, lock=True)
    _require_enabled(hook)
    moment = now()
    just = (col(WebhookDelivery.type) == TEST) & (col(WebhookDelivery.created_at) > moment - TESTS_APART)
    if await session.scalar(select(col(WebhookDelivery.id)).where(just, _of(hook)).limit(1)):
        raise Conflict("A test was sent a moment ago. Look at what became of it first.")
    content = body(TEST, moment, {"message": "This is a test of a webhook of OpenLinear."})
    delivery = WebhookDelivery(
        id=uuid4(), webhook_id=hook.id, type=TEST, body=content, due_at=moment, created_at=moment
    )
    session.add(delivery)
    await session.flush()
    return _delivery(delivery)


async def send_again(
    session: AsyncSession, actor: Actor, webhook_id: UUID, delivery_id: UUID
) -> DeliveryView:
    """Send the same message, by the same id. Conflict while it waits for its turn, or all are disabled."""
    hook = await _require(session, actor, webhook_id, lock=True)
    _require_enabled(hook)
    query = select(WebhookDelivery).where(col(WebhookDelivery.id) == delivery_id, _of(hook))
    delivery = await session.scalar(query.with_for_update())
    if delivery is None:
        raise NotFound("There is no such delivery.")
    if delivery.status == "pending" and delivery.failures == 0:
        raise Conflict("It is being sent already.")
    delivery.status, delivery.failures, delivery.due_at = "pending", 0, now()
    delivery.error, delivery.response_code = "", None
    await session.flush()
    return _delivery(delivery)


async def _require(session: AsyncSession, actor: Actor, webhook_id: UUID, *, lock: bool = False) -> Webhook:
    """The webhook, for who looks after it. To all but its team's members it does not exist: one query finds
    neither what is not there nor what is not theirs.
    """
    theirs = (col(Member.team_id) == col(Webhook.team_id)) & (col(Member.user_id) == actor.id)
    mine = (col(Webhook.user_id) == actor.id) | col(Member.user_id).is_not(None)
    query = select(Webhook, col(Member.role)).outerjoin(Member, theirs)
    found = (await session.execute(query.where(col(Webhook.id) == webhook_id, mine))).one_or_none()
    if found is None:
        raise NotFound(MISSING)
    hook: Webhook = found[0]
    if found[1] == "member":
        raise Forbidden("Only owners and admins of the team look after its webhooks.")
    if not lock:
        return hook
    if hook.team_id is not None:  # before the webhook, as whoever changes who is in the team
        await require_team(session, actor, hook.team_id, "admin", lock=True)
    again = select(Webhook).where(col(Webhook.id) == webhook_id).with_for_update()
    held: Webhook | None = await session.scalar(again.execution_options(**FRESH))
    if held is None:
        raise NotFound(MISSING)
    return held


def _require_enabled(hook: Webhook) -> None:
    if not hook.enabled:
        raise Conflict("The webhook is disabled. Enable it first.")


def _owned(actor: Actor, team_id: UUID | None) -> ColumnElement[bool]:
    return col(Webhook.team_id) == team_id if team_id is not None else col(Webhook.user_id) == actor.id


def _of(hook: Webhook) -> ColumnElement[bool]:
    return col(WebhookDelivery.webhook_id) == hook.id


def _checked_url(url: str) -> str:
    url = text.line(url, "url", limit=URL_LIMIT)
    try:
        receiver.check(url, allow_local=get_settings().allow_local_remotes)
    except receiver.Refused as error:
        raise Invalid(f"The URL {error}.", url=str(error)) from None
    return url


def _checked_events(events: Sequence[str]) -> list[str]:
    """Those asked for, in our order."""
    if not events or set(events) - set(EVENTS):
        reason = f"are one or more of {', '.join(EVENTS)}"
        raise Invalid(f"The events {reason}.", events=reason)
    return [event for event in EVENTS if event in events]


def _note(session: AsyncSession, actor: Actor, hook: Webhook, action: str) -> None:
    """Its description or host, since what follows in the URL may be a secret."""
    subject = hook.description or receiver.host_of(hook.url)
    audit.record(session, actor, action, subject, team_id=hook.team_id)


def _view(hook: Webhook) -> WebhookView:
    return WebhookView(
        id=hook.id,
        team_id=hook.team_id,
        url=hook.url,
        description=hook.description,
        events=tuple(hook.events),
        enabled=hook.enabled,
        disabled_reason=hook.disabled_reason,
        failing_since=hook.failing_since,
        created_at=hook.created_at,
    )


def _delivery(one: WebhookDelivery) -> DeliveryView:
    return DeliveryView(
        id=one.id,
        type=one.type,
        status=one.status,
        attempts=one.attempts,
        response_code=one.response_code,
        error=one.error,
        created_at=one.created_at,
        attempted_at=one.attempted_at,
        next_attempt_at=one.due_at if one.status == "pending" else None,
    )
