"""People who ask over HTTP, and what they hold open."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear import db
from openlinear.services import accounts, first
from openlinear.services.views import Actor
from tests.support.product import PASSWORD, MakeActor

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


async def log_in(email: str, password: str = PASSWORD, device: str = "") -> str:
    """A login's token."""
    async with db.transaction() as session:
        token, _ = await accounts.login(session, email, password, address="192.0.2.7", device=device)
    return token


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def following(url: str, token: str) -> AsyncIterator[asyncio.Task[None]]:
    """An open stream of news: a task that ends when the server ends the stream."""
    async with (
        httpx.AsyncClient(base_url=url, headers=bearing(token), timeout=20) as client,
        client.stream("GET", "/api/events") as answer,
    ):
        assert answer.status_code == 200
        lines = answer.aiter_lines()
        assert await anext(lines) == ": connected"

        async def read_on() -> None:
            async for _ in lines:
                pass

        reading = asyncio.create_task(read_on())
        try:
            yield reading
        finally:
            reading.cancel()


async def waiting(session: AsyncSession, many: int = 1) -> None:
    """Until so many others wait for a lock."""
    async with asyncio.timeout(10):
        while await session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")) != many:
            await asyncio.sleep(0.01)


@pytest.fixture
async def administrator(make_actor: MakeActor) -> Actor:
    actor = await make_actor("Alma Administrator")
    async with db.transaction() as session:
        await first.become(session, actor, first.token())
    token = await log_in(actor.email)
    async with db.transaction() as session:
        return await accounts.authenticate(session, token)
