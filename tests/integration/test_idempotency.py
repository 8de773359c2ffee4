"""`Idempotency-Key`: sent twice, done once, answered alike."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, update

from engine.models import Batch, Run
from openlinear import db
from openlinear.models import Answered, Task
from openlinear.models.columns import now
from openlinear.services import accounts, demo, housekeeping
from openlinear.services.views import Actor, TaskView
from tests.support.product import PASSWORD, MakeActor

Api = httpx.AsyncClient


async def login(api: Api, actor: Actor) -> Api:
    async with db.transaction() as session:
        token, _ = await accounts.login(session, actor.email, PASSWORD, address="test")
    api.headers["Authorization"] = f"Bearer {token}"
    return api


@pytest.fixture
async def cards(ada: Actor) -> list[TaskView]:
    async with db.transaction() as session:
        return (await demo.create_demo(session, ada))[1]


@pytest.fixture
async def hers(api: Api, ada: Actor) -> AsyncIterator[Api]:
    yield await login(api, ada)


async def count(table: type[Run] | type[Batch] | type[Task]) -> int:
    async with db.transaction() as session:
        return await session.scalar(select(func.count()).select_from(table)) or 0


async def send(api: Api, path: str, key: str | None, body: Any = None) -> httpx.Response:
    return await api.post(path, json=body, headers={"Idempotency-Key": key} if key else {})


async def test_executing_twice_at_once_starts_one_run_and_answers_alike(
    hers: Api, cards: list[TaskView]
) -> None:
    path = f"/api/tasks/{cards[0].id}/execute"
    answers = await asyncio.gather(*(send(hers, path, "k1") for _ in range(8)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["runId"] for answer in answers}) == 1
    assert await count(Run) == 1
    assert (await send(hers, path, "k2")).status_code == 409
    assert (await send(hers, path, None)).status_code == 409


async def test_a_batch_and_a_task_are_made_once(hers: Api, cards: list[TaskView]) -> None:
    body = {"taskIds": [str(card.id) for card in cards], "mode": "queue"}
    first, second = await send(hers, "/api/batches", "b", body), await send(hers, "/api/batches", "b", body)
    assert (first.status_code, first.json()) == (second.status_code, second.json())
    assert first.status_code == 202
    assert await count(Batch) == 1
    before = await count(Task)
    made = {"projectId": str(cards[0].project_id), "title": "Once"}
    turned = dict(reversed(made.items()))
    first, second = await send(hers, "/api/tasks", "t", made), await send(hers, "/api/tasks", "t", turned)
    assert (first.status_code, first.json()) == (second.status_code, second.json()) == (201, first.json())
    assert await count(Task) == before + 1


async def test_the_same_key_for_another_request_is_refused(hers: Api, cards: list[TaskView]) -> None:
    made = {"projectId": str(cards[0].project_id), "title": "One"}
    assert (await send(hers, "/api/tasks", "k", made)).status_code == 201
    for path, body in (
        ("/api/tasks", {**made, "title": "Two"}),
        (f"/api/tasks/{cards[0].id}/execute", None),
    ):
        answer = await send(hers, path, "k", body)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "Idempotency-Key"
    assert await count(Run) == 0


async def test_a_refusal_is_not_kept(hers: Api, cards: list[TaskView]) -> None:
    path = f"/api/tasks/{cards[0].id}/execute"
    await hers.patch(f"/api/tasks/{cards[0].id}", json={"archived": True})
    assert (await send(hers, path, "k")).status_code == 409
    await hers.patch(f"/api/tasks/{cards[0].id}", json={"archived": False})
    assert (await send(hers, path, "k")).status_code == 202


async def test_keys_are_each_persons_own(
    hers: Api, cards: list[TaskView], make_actor: MakeActor, ada: Actor
) -> None:
    path = f"/api/tasks/{cards[0].id}/execute"
    assert (await send(hers, path, "k")).status_code == 202
    await login(hers, await make_actor("Bo"))
    assert (await send(hers, path, "k")).status_code == 404


async def test_a_key_is_free_again_after_a_day_and_goes(hers: Api, cards: list[TaskView]) -> None:
    made = {"projectId": str(cards[0].project_id), "title": "One"}
    assert (await send(hers, "/api/tasks", "k", made)).status_code == 201
    async with db.transaction() as session:
        await session.execute(update(Answered).values(created_at=now() - timedelta(hours=25)))
    assert (await send(hers, "/api/tasks", "k", {**made, "title": "Two"})).status_code == 201
    async with db.transaction() as session:
        await session.execute(update(Answered).values(created_at=now() - timedelta(hours=25)))
        await housekeeping.sweep(session)
        assert await session.scalar(select(func.count()).select_from(Answered)) == 0


async def test_the_key_itself_is_not_kept(hers: Api, cards: list[TaskView]) -> None:
    made = {"projectId": str(cards[0].project_id), "title": "One"}
    await send(hers, "/api/tasks", "a-very-special-key", made)
    async with db.transaction() as session:
        (row,) = await session.scalars(select(Answered))
    assert "special" not in repr(row)


@pytest.mark.parametrize("key", ["two words", "k" * 256])
async def test_what_is_no_key_is_refused(hers: Api, cards: list[TaskView], key: str) -> None:
    answer = await send(hers, f"/api/tasks/{cards[0].id}/execute", key)
    assert answer.status_code == 422
    assert await count(Run) == 0
