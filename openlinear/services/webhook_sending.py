"""Deliveries, taken up and settled. Unscoped: for the web processes, any number of them at once.

Whoever takes one up has it for `LEASE`; who dies with it loses it to the next. So a receiver may hear the
same twice, by the same id, and never not at all.
"""

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ScalarSelect, func, select, true, update
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear.models import Webhook, WebhookDelivery
from openlinear.models.columns import now
from openlinear.outside.receiver import Answer

LEASE = timedelta(seconds=60)
"""Longer than an attempt can take."""
WAITS = tuple(timedelta(seconds=s) for s in (5, 60, 300, 1800, 7200, 21_600, 86_400))
"""After each failure, until the next attempt; a tenth more or less, so that not all come at once."""
PER_WEBHOOK = 3
"""Deliveries of one webhook that are under way at a time, so that one that hangs does not take all places."""
GIVEN_UP = timedelta(days=5)
GONE = 410
_pending = (col(WebhookDelivery.webhook_id) == col(Webhook.id)) & (col(WebhookDelivery.status) == "pending")


@dataclass(frozen=True, slots=True)
class Message:
    """A delivery that is one's own until its lease ends."""

    id: UUID
    webhook_id: UUID
    attempt: int
    url: str = field(repr=False)
    secret: str = field(repr=False)
    """Sealed."""
    body: str = field(repr=False)


async def take(session: AsyncSession, most: int) -> list[Message]:
    """Take up to so many that are due. They are the caller's once the transaction is committed."""
    at = now()
    due = (
        select(col(WebhookDelivery.id).label("id"), col(WebhookDelivery.due_at).label("at"))
        .where(_pending, col(WebhookDelivery.due_at) <= at)
        .order_by(col(WebhookDelivery.due_at))
        .limit(PER_WEBHOOK - _under_way(at))
        .with_for_update(skip_locked=True)
        .lateral()
    )
    found = select(due.c.id, Webhook).join(due, true()).where(col(Webhook.enabled)).order_by(due.c.at)
    taken = {row[0]: row[1] for row in await session.execute(found.limit(most))}
    if not taken:
        return []
    rows = await session.execute(
        update(WebhookDelivery)
        .where(col(WebhookDelivery.id).in_(taken))
        .values(attempts=col(WebhookDelivery.attempts) + 1, due_at=at + LEASE, attempted_at=at)
        .returning(col(WebhookDelivery.id), col(WebhookDelivery.attempts), col(WebhookDelivery.body))
        .execution_options(synchronize_session=False)
    )
    return [
        Message(id_, taken[id_].id, attempt, taken[id_].url, taken[id_].secret, text)
        for id_, attempt, text in rows
    ]


def _under_way(at: datetime) -> ScalarSelect[int]:
    """How many of a webhook's deliveries somebody sends now: of those alone the lease is what is due."""
    leased = col(WebhookDelivery.due_at) == col(WebhookDelivery.attempted_at) + LEASE
    sending = select(func.least(func.count(), PER_WEBHOOK)).where(
        _pending, leased, col(WebhookDelivery.due_at) > at
    )
    return sending.correlate(Webhook).scalar_subquery()


async def settle(session: AsyncSession, message: Message, answer: Answer) -> None:
    """Write down what came of it, unless somebody else has taken it up since."""
    # The webhook's row first, as whoever deletes it does.
    hook = await session.scalar(
        select(Webhook).where(col(Webhook.id) == message.webhook_id).with_for_update()
    )
    mine = (col(WebhookDelivery.id) == message.id) & (col(WebhookDelivery.attempts) == message.attempt)
    delivery = await session.scalar(select(WebhookDelivery).where(mine).with_for_update())
    if hook is None or delivery is None or delivery.status != "pending":
        return
    delivery.response_code, delivery.error = answer.status, answer.error
    if not answer.error:
        delivery.status, hook.failing_since = "delivered", None
        return
    delivery.failures += 1
    if delivery.failures > len(WAITS) or answer.status == GONE:
        delivery.status = "failed"
    else:
        delivery.due_at = now() + WAITS[delivery.failures - 1] * random.uniform(0.9, 1.1)  # noqa: S311
    hook.failing_since = hook.failing_since or now()
    _disable(hook, answer.status, now())


def _disable(hook: Webhook, status: int | None, at: datetime) -> None:
    """Whoever says that it is gone, or takes nothing for days, is not told any more."""
    if status == GONE:
        hook.enabled, hook.disabled_reason = False, "It answered 410: it wants no more messages."
    elif hook.failing_since is not None and at - hook.failing_since > GIVEN_UP:
        reason = f"Nothing could be delivered for {GIVEN_UP.days} days. Enable it once it takes messages."
        hook.enabled, hook.disabled_reason = False, reason
