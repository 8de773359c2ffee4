"""Sending what webhooks are to be told, while a web process serves."""

import asyncio
import logging

from openlinear import db, vault
from openlinear.models.columns import now
from openlinear.outside import receiver
from openlinear.outside.receiver import Answer
from openlinear.services import webhook_secrets, webhook_sending
from openlinear.services.webhook_sending import Message
from openlinear.settings import get_settings

log = logging.getLogger(__name__)

EVERY = 1.0
"""Seconds between two looks."""
AT_ONCE = 20
KEY_CHANGED = (
    "Its secret can no longer be read, since OPENLINEAR_SECRET_KEY is another one now. Make a new one."
)


async def deliver() -> None:
    """Take up what is due and send it, until cancelled. What is under way then is sent by the next."""
    sending: set[asyncio.Task[None]] = set()
    try:
        while True:
            try:
                await _take_up(sending)
            except Exception as error:
                log.warning("webhooks wait, since the database is away: %s", type(error).__name__)
            await asyncio.sleep(EVERY)
    finally:
        for one in sending:
            one.cancel()


async def _take_up(sending: set[asyncio.Task[None]]) -> None:
    free = AT_ONCE - len(sending)
    if free <= 0:
        return
    async with db.transaction() as session:
        messages = await webhook_sending.take(session, free)
    for message in messages:
        one = asyncio.create_task(_send(message))
        sending.add(one)
        one.add_done_callback(sending.discard)


async def _send(message: Message) -> None:
    try:
        answer = await _answer(message)
        async with db.transaction() as session:
            await webhook_sending.settle(session, message, answer)
    except Exception as error:
        # Its lease ends, and somebody takes it up again.
        log.warning("a webhook's delivery %s was not settled: %s", message.id, type(error).__name__)


async def _answer(message: Message) -> Answer:
    name, at = f"msg_{message.id.hex}", now()
    try:
        signature = webhook_secrets.signatures(message.secret, name, at, message.body)
    except vault.Unreadable:
        return Answer(error=KEY_CHANGED)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "OpenLinear",
        "webhook-id": name,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signature,
    }
    local = get_settings().allow_local_remotes
    return await receiver.send(message.url, message.body.encode(), headers, allow_local=local)
