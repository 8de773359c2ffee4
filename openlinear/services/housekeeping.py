"""What nobody needs any more."""

from datetime import timedelta

from sqlalchemy import delete, func, select
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear.engine_client import engine_client
from openlinear.models import (
    AccessToken,
    Answered,
    Attempt,
    AuthSession,
    Change,
    GitHubMessage,
    InboxItem,
    Invitation,
    OneTimeLink,
    Task,
    WebhookDelivery,
)
from openlinear.models.columns import now
from openlinear.services import idempotency, inbox, throttle

CHANGES_KEPT = timedelta(days=7)
"""Whoever comes back to /api/events after longer is told what there is."""

DELIVERIES_KEPT = timedelta(days=30)
"""Of webhooks: how far back the log of deliveries goes, and what GitHub said is known again."""


async def sweep(session: AsyncSession) -> None:
    """Clear it, unless another process does so at this moment."""
    alone = func.pg_try_advisory_xact_lock(func.hashtextextended("housekeeping", 0))
    if not await session.scalar(select(alone)):
        return
    await engine_client().prune(session, select(col(Task.id)))
    for kind in (AuthSession, AccessToken):
        over = col(kind.revoked_at).is_not(None) | (col(kind.expires_at) < now())
        await session.execute(delete(kind).where(over))
    await session.execute(delete(OneTimeLink).where(col(OneTimeLink.expires_at) < now()))
    done = (col(Invitation.uses_left) < 1) | (col(Invitation.expires_at) < now())
    await session.execute(delete(Invitation).where(done))
    await session.execute(delete(Change).where(col(Change.changed_at) < now() - CHANGES_KEPT))
    await session.execute(delete(InboxItem).where(col(InboxItem.at) < now() - inbox.KEPT))
    await session.execute(delete(Answered).where(col(Answered.created_at) < now() - idempotency.KEPT))
    log = col(WebhookDelivery.created_at) < now() - DELIVERIES_KEPT
    await session.execute(delete(WebhookDelivery).where(log))
    heard = col(GitHubMessage.heard_at) < now() - DELIVERIES_KEPT
    await session.execute(delete(GitHubMessage).where(heard))
    # Tries that are being counted or cleared by `throttle` are passed over, not waited for.
    old = select(col(Attempt.id)).where(col(Attempt.tried_at) < now() - throttle.WINDOW)
    await session.execute(delete(Attempt).where(col(Attempt.id).in_(old.with_for_update(skip_locked=True))))
