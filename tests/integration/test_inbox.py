"""The inbox: told in the transaction of the end, seen by its person alone, and only while they may."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select, update
from sqlmodel import col

from engine.models import Ask, Batch, Run, now
from openlinear import db
from openlinear.adapters import product as engine_side
from openlinear.models import InboxItem
from openlinear.services import (
    accounts,
    batches,
    demo,
    execution,
    feed,
    housekeeping,
    inbox,
    members,
    projects,
    tasks,
)
from openlinear.services.views import Actor, TaskView
from tests.support.product import PASSWORD, MakeActor
from tests.support.teams import Crew


async def as_actor(api: httpx.AsyncClient, actor: Actor) -> httpx.AsyncClient:
    async with db.transaction() as session:
        token, _ = await accounts.login(session, actor.email, PASSWORD, address="test")
    api.headers["Authorization"] = f"Bearer {token}"
    return api


async def started(actor: Actor, card: TaskView) -> UUID:
    async with db.transaction() as session:
        return await execution.execute(session, actor, card.id)


async def ends(run_id: UUID, status: str = "done", **columns: Any) -> None:
    """As a worker records it."""
    async with db.transaction() as session:
        run = await session.get_one(Run, run_id, with_for_update=True)
        run.status, run.ended_at = status, now()
        for name, value in columns.items():
            setattr(run, name, value)
        await session.flush()
        await engine_side().ended(session, run_id)


async def seen(actor: Actor) -> list[tuple[str, str, str]]:
    async with db.snapshot() as session:
        page = await inbox.items(session, actor)
        assert await inbox.unread(session, actor) == sum(not item.read for item in page.items)
    return [(item.title, item.status, item.message) for item in page.items]


@pytest.fixture
async def cards(ada: Actor) -> list[TaskView]:
    async with db.transaction() as session:
        return (await demo.create_demo(session, ada))[1]


async def test_what_ended_is_there_and_what_was_cancelled_is_not(
    ada: Actor, cards: list[TaskView], make_actor: MakeActor
) -> None:
    one, two, three = [await started(ada, card) for card in cards]
    await ends(one, outcome="pull_request", pr_number=7)
    await ends(two, "failed", error="The remote is not there.")
    await ends(three, "cancelled")
    assert await seen(ada) == [
        (cards[1].title, "failed", "The remote is not there."),
        (cards[0].title, "done", "Pull request #7"),
    ]
    assert await seen(await make_actor("Bo")) == []


async def test_an_end_that_is_rolled_back_was_never_told(ada: Actor, cards: list[TaskView]) -> None:
    run_id = await started(ada, cards[0])
    with pytest.raises(RuntimeError):
        async with db.transaction() as session:
            (await session.get_one(Run, run_id)).status = "done"
            await session.flush()
            await engine_side().ended(session, run_id)
            raise RuntimeError
    assert await seen(ada) == []


async def test_what_waits_is_there_until_it_is_answered(ada: Actor, cards: list[TaskView]) -> None:
    run_id = await started(ada, cards[0])
    async with db.transaction() as session:
        ask = Ask(run_id=run_id, part="p", kind="permission", text="Run rm -rf build?", details={})
        session.add(ask)
        await session.flush()
        await engine_side().waits(session, run_id)
    assert await seen(ada) == [(cards[0].title, "waiting", "Run rm -rf build?")]
    async with db.transaction() as session:
        await execution.answer(session, ada, cards[0].id, ask.id, {"reply": "once"})
    assert await seen(ada) == []
    await ends(run_id, outcome="no_changes")
    assert await seen(ada) == [(cards[0].title, "done", "The agent made no changes")]


async def test_a_batch_tells_once_for_all_of_its_tasks(ada: Actor, cards: list[TaskView]) -> None:
    async with db.transaction() as session:
        wanted = batches.BatchInput([card.id for card in cards], "queue")
        made = await batches.create(session, ada, wanted)
    for told, status, columns in (
        ("waiting", "waiting", {"message": "Waits for your approval"}),
        ("updated", "running", {"message": ""}),
        ("failed", "failed", {"error": "Nothing could be merged.", "ended_at": now()}),
    ):
        async with db.transaction() as session:
            statement = update(Batch).where(col(Batch.id) == made.id)
            await session.execute(statement.values(status=status, **columns))
            await engine_side().batch(session, made.id, told)  # type: ignore[arg-type]
        found = await seen(ada)
        if told == "updated":
            assert found == []
        else:
            (only,) = found
            assert only[:2] == ("Batch of 3 tasks", status)
    await ends(made.tasks[0].run_id, "failed", error="Left out")
    assert len(await seen(ada)) == 1


async def test_read_unread_and_read_all(api: httpx.AsyncClient, ada: Actor, cards: list[TaskView]) -> None:
    for card in cards:
        await ends(await started(ada, card))
    await as_actor(api, ada)
    page = (await api.get("/api/inbox?limit=2")).json()
    assert (len(page["items"]), page["unread"]) == (2, 3)
    rest = (await api.get("/api/inbox", params={"cursor": page["nextCursor"]})).json()
    assert [item["taskId"] for item in page["items"] + rest["items"]] == [
        str(card.id) for card in reversed(cards)
    ]
    assert rest["nextCursor"] is None
    first = page["items"][0]
    assert first["identifier"] == cards[2].identifier
    answer = await api.patch(f"/api/inbox/{first['id']}", json={"read": True})
    assert answer.json() == {**first, "read": True}
    assert (await api.get("/api/inbox")).json()["unread"] == 2
    await api.patch(f"/api/inbox/{first['id']}", json={"read": False})
    assert (await api.get("/api/inbox")).json()["unread"] == 3
    assert (await api.post("/api/inbox/read-all")).status_code == 204
    assert (await api.get("/api/inbox")).json()["unread"] == 0


async def test_nobody_touches_the_inbox_of_another(
    api: httpx.AsyncClient, ada: Actor, cards: list[TaskView], make_actor: MakeActor
) -> None:
    await ends(await started(ada, cards[0]))
    async with db.snapshot() as session:
        (item,) = (await inbox.items(session, ada)).items
    await as_actor(api, await make_actor("Bo"))
    assert (await api.patch(f"/api/inbox/{item.id}", json={"read": True})).status_code == 404
    assert (await api.post("/api/inbox/read-all")).status_code == 204
    assert (await api.get("/api/inbox")).json() == {"items": [], "nextCursor": None, "unread": 0}
    async with db.snapshot() as session:
        assert await inbox.unread(session, ada) == 1


async def test_who_left_the_team_no_longer_sees_its_items(crew: Crew) -> None:
    card = await crew.task("Secret plan")
    await ends(await started(crew.member, card))
    assert await seen(crew.member) == [("Secret plan", "done", f"Pushed to openlinear/{card.id}")]
    assert await seen(crew.owner) == []
    await members.remove_member(crew.owner, crew.team.id, crew.member.id)
    assert await seen(crew.member) == []


async def test_items_go_with_their_task_and_project_and_after_ninety_days(
    ada: Actor, cards: list[TaskView]
) -> None:
    for card in cards:
        await ends(await started(ada, card))
    async with db.transaction() as session:
        await tasks.delete_task(session, ada, cards[0].id)
    assert len(await seen(ada)) == 2
    async with db.transaction() as session:
        old = update(InboxItem).where(col(InboxItem.task_id) == cards[1].id)
        await session.execute(old.values(at=now() - timedelta(days=91)))
        await housekeeping.sweep(session)
    assert [title for title, *_ in await seen(ada)] == [cards[2].title]
    async with db.transaction() as session:
        await projects.delete_project(session, ada, cards[2].project_id)
        assert list(await session.scalars(select(InboxItem))) == []


async def test_its_person_alone_hears_of_a_change(ada: Actor, cards: list[TaskView]) -> None:
    run_id = await started(ada, cards[0])
    async with db.snapshot() as session:
        before = await feed.latest_id(session)
    await ends(run_id)
    async with db.snapshot() as session:
        told = [item for item in await feed.news(session, before) if item.kind == "inbox:updated"]
    assert [item.viewers for item in told] == [frozenset([ada.id])]
