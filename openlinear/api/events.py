"""Server-sent events: what happens, to those who may see it."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Request
from fastapi.responses import StreamingResponse

from openlinear import db, metrics
from openlinear.api.security import Me, token_of
from openlinear.newsreader import BATCH, Subscription, news_reader
from openlinear.services import accounts, feed
from openlinear.services.errors import NotSignedIn
from openlinear.services.feed import News
from openlinear.services.views import Actor

router = APIRouter(tags=["events"])

HEARTBEAT_SECONDS = 15.0
OWN = ("session:", "team:", "inbox:")
"""What the web processes tell each other."""
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@router.get("/api/events", response_class=StreamingResponse)
async def events(
    request: Request, actor: Me, last_event_id: Annotated[str | None, Header()] = None
) -> StreamingResponse:
    """A stream of news. `Last-Event-ID` begins with what came after that one."""
    after = _number(last_event_id)
    stream = _stream(actor, token_of(request), after)
    return StreamingResponse(stream, media_type="text/event-stream", headers=HEADERS)


def _number(last_event_id: str | None) -> int | None:
    """The number of the last event a client has; None for a new one, or for what we never sent."""
    text = (last_event_id or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


async def _stream(actor: Actor, token: str, after: int | None) -> AsyncIterator[str]:
    """What was missed, then what happens, until the login ends. Follows first, then reads what was
    missed, so that nothing falls between.
    """
    async with news_reader().subscribe() as live:
        sent = await _had(after)
        yield ": connected\n\n"
        if after is not None:
            async for batch in _missed(actor, sent):
                sent = batch[-1].id
                yield _frames(batch, actor.id)
        beat = asyncio.get_running_loop().time() + HEARTBEAT_SECONDS
        while True:
            fresh = await _next(live, beat)
            if fresh is None or any(_ends(news, actor) for news in fresh):
                return
            frames = _frames([news for news in fresh if news.id > sent], actor.id)
            if frames:
                yield frames
                metrics.handed_on("stream", [news for news in fresh if news.id > sent])
            if asyncio.get_running_loop().time() >= beat:
                beat += HEARTBEAT_SECONDS
                if not await _signed_in(token):
                    return
                yield ": heartbeat\n\n"


async def _had(after: int | None) -> int:
    """The last news that this client has: what it is sent again otherwise, where the reader is behind.

    A number that is yet to come is of another database, or of this one before it was restored.
    """
    if after is None:
        return 0
    async with db.snapshot() as session:
        return min(after, await feed.latest_id(session))


async def _next(live: Subscription, beat: float) -> Sequence[News] | None:
    """The next batch; nothing when the heartbeat is due first, None when there will be no more."""
    try:
        async with asyncio.timeout_at(beat):
            return await anext(live)
    except TimeoutError:
        return ()
    except StopAsyncIteration:
        return None


async def _missed(actor: Actor, after: int) -> AsyncIterator[list[News]]:
    while True:
        async with db.snapshot() as session:
            batch = await feed.missed(session, actor, after, BATCH)
        if not batch:
            return
        yield batch
        after = batch[-1].id


def _ends(news: News, actor: Actor) -> bool:
    return news.kind == "session:ended" and str(actor.session_id) in news.data.get("sessionIds", ())


async def _signed_in(token: str) -> bool:
    """Whether the token is still good: it may have run out meanwhile."""
    try:
        async with db.transaction() as session:
            await accounts.authenticate(session, token)
    except NotSignedIn:
        return False
    return True


def _frames(batch: Sequence[News], viewer: UUID) -> str:
    return "".join(
        f"id: {news.id}\nevent: {news.kind}\ndata: {json.dumps(news.data)}\n\n"
        for news in batch
        if viewer in news.viewers and not news.kind.startswith(OWN)
    )
