"""A real HTTP server that webhooks are sent to, which checks what comes as a receiver would."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from sqlalchemy import update
from sqlmodel import col
from standardwebhooks.webhooks import Webhook as Verifier

from engine.models import Run
from openlinear import db, deliveries
from openlinear.models import WebhookDelivery
from openlinear.models.columns import now
from openlinear.services import execution, providers, tasks, webhooks
from openlinear.services.views import Actor, ProjectView, TaskView
from openlinear.services.webhooks import DeliveryView, Made
from openlinear.settings import get_settings
from tests.support.product import Workerless


@dataclass
class Receiver:
    """`answers` are the statuses of the next answers, then 200; a 0 answers never."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    heard: list[tuple[dict[str, str], str]] = field(default_factory=list)
    """(headers, body) as they came."""
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def wait(self, count: int) -> list[tuple[dict[str, str], str]]:
        """What was heard, once it is this much."""
        async with asyncio.timeout(20), self.changed:
            await self.changed.wait_for(lambda: len(self.heard) >= count)
        return self.heard

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head if line)}
        body = (await reader.readexactly(int(headers.get("content-length", "0")))).decode()
        status = self.answers.pop(0) if self.answers else 200
        async with self.changed:
            self.heard.append((headers, body))
            self.changed.notify_all()
        if status == 0:
            await reader.read()  # until the other side gives up
        else:
            more = f"Location: {self.url}/elsewhere\r\n" if 300 <= status < 400 else ""
            writer.write(f"HTTP/1.1 {status} X\r\n{more}Content-Length: 0\r\n\r\n".encode())
        writer.close()


def verified(secret: str, headers: dict[str, str], body: str) -> dict[str, object]:
    """What came, once the specification's own library has found the signature good."""
    found: dict[str, object] = Verifier(secret).verify(body, headers)
    return found


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield made


@pytest.fixture
def receivable(product: Workerless, monkeypatch: pytest.MonkeyPatch) -> None:
    """Receivers on this machine may be told; looking for due deliveries takes no second."""
    monkeypatch.setenv("ALLOW_LOCAL_REMOTES", "true")
    get_settings.cache_clear()
    monkeypatch.setattr(deliveries, "EVERY", 0.02)


@asynccontextmanager
async def sending() -> AsyncIterator[None]:
    """A web process that sends."""
    chore = asyncio.create_task(deliveries.deliver())
    try:
        yield
    finally:
        chore.cancel()
        await asyncio.wait([chore])


async def hook_to(actor: Actor, url: str, **given: object) -> Made:
    async with db.transaction() as session:
        return await webhooks.create_webhook(session, actor, url, **given)  # type: ignore[arg-type]


async def started(actor: Actor, project: ProjectView, title: str = "Fix it") -> tuple[TaskView, UUID]:
    async with db.transaction() as session:
        await providers.connect(session, actor, "anthropic", "sk-test-1")
        card = await tasks.create_task(session, actor, tasks.TaskInput(project.id, title, "secret prompt"))
    async with db.transaction() as session:
        return card, await execution.execute(session, actor, card.id)


async def end(run_id: UUID, status: str = "done", **columns: object) -> None:
    """As the worker ends a run: its row and the product's word for it in one transaction."""
    values = {"status": status, "ended_at": now(), "pushed_sha": "abc", **columns}
    async with db.transaction() as session:
        await session.execute(update(Run).where(col(Run.id) == run_id).values(**values))
        await execution.ended(session, run_id)


async def log(actor: Actor, made: Made) -> list[DeliveryView]:
    async with db.transaction() as session:
        return list((await webhooks.deliveries(session, actor, made.webhook.id)).items)


async def until(actor: Actor, made: Made, status: str, **fields: object) -> DeliveryView:
    """The only delivery, once it is so."""
    async with asyncio.timeout(20):
        while True:
            (one,) = await log(actor, made)
            if one.status == status and all(getattr(one, name) == value for name, value in fields.items()):
                return one
            await asyncio.sleep(0.02)


async def due(made: Made) -> None:
    """Let the time pass until the next attempt."""
    mine = col(WebhookDelivery.webhook_id) == made.webhook.id
    async with db.transaction() as session:
        await session.execute(update(WebhookDelivery).where(mine).values(due_at=now()))
