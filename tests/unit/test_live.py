"""Who is sent what, and when: the hub on a namespace that only writes down what it is told."""

import asyncio
from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from engine.batches.client import BatchView
from engine.client import EventView
from openlinear import live, livecards, metrics
from openlinear.live import FEW, RING, Hub, LiveState, LogState
from openlinear.services.feed import News
from openlinear.services.views import Actor
from tests.support.live import Namespace
from tests.unit.test_batch_rows import batch, member

PROJECT, TASK, RUN = uuid4(), uuid4(), uuid4()
LIVE, LOG = LiveState.get_full_name(), LogState.get_full_name()


@pytest.fixture
def namespace() -> Namespace:
    return Namespace()


@pytest.fixture
def hub(namespace: Namespace, monkeypatch: pytest.MonkeyPatch) -> Hub:
    monkeypatch.setattr(live, "ROWS_EVERY", float("inf"))  # rows are a database's matter
    hub = Hub()
    hub.attach(SimpleNamespace(event_namespace=namespace))  # type: ignore[arg-type]
    return hub


class Reader:
    """A news reader with one batch, and more when it is handed some; else it is silent."""

    def __init__(self, *batch: News) -> None:
        self.batches: asyncio.Queue[list[News]] = asyncio.Queue()
        self.hand(*batch)

    def hand(self, *batch: News) -> None:
        self.batches.put_nowait(list(batch))

    def subscribe(self) -> "Reader":
        return self

    async def __aenter__(self) -> "Reader":
        return self

    async def __aexit__(self, *error: object) -> None: ...

    def __aiter__(self) -> "Reader":
        return self

    async def __anext__(self) -> list[News]:
        return await self.batches.get()


async def follow(hub: Hub, *news: News) -> None:
    """Let the hub take in this news, and its next beat pass."""
    task = asyncio.create_task(hub.follow(Reader(*news)))  # type: ignore[arg-type]
    await asyncio.sleep(3 * live.BEAT)
    task.cancel()


def person() -> Actor:
    return Actor(uuid4(), "Ada", "ada", "ada@example.com", uuid4())


def event(seq: int, viewers: set[UUID], kind: str = "text", message: str = "hello", state: str = "") -> News:
    happened = EventView(
        seq, RUN, TASK, PROJECT, seq, datetime.now(UTC), kind, "info", f"part{seq}", state, message, None
    )
    return News(seq, "execution:log", PROJECT, TASK, None, {}, frozenset(viewers), happened)


async def test_a_seat_is_in_its_rooms_and_gives_up_the_former(hub: Hub, namespace: Namespace) -> None:
    ada, other = person(), uuid4()
    await hub.join("s1", ada, PROJECT, TASK)
    assert namespace.rooms["s1"] == {f"room:{PROJECT}", f"room:{TASK}"}
    await hub.join("s1", ada, other, None)
    assert namespace.rooms["s1"] == {f"room:{other}"}
    await hub.leave("s1")
    await hub.leave("s1")
    assert namespace.rooms["s1"] == set()


async def test_a_connection_that_ends_gives_up_its_seat(hub: Hub, namespace: Namespace) -> None:
    ada = person()
    await hub.join("s1", ada, PROJECT, TASK)
    await namespace.trigger_event("disconnect", "s1", "transport close")
    assert namespace.gone == ["s1"], "Reflex was not told"
    await hub.join("s1", ada, PROJECT, TASK)  # its handler was still under way
    await follow(hub, event(1, {ada.id}, "tool", "step 1", "running"))
    assert namespace.sent == []
    assert (hub._seats, hub._pending) == ({}, {})


@pytest.mark.parametrize("count", [5, FEW + 1])
async def test_every_line_travels_once_and_of_much_progress_only_the_latest(
    hub: Hub, namespace: Namespace, count: int
) -> None:
    ada = person()
    await hub.join("s1", ada, PROJECT, TASK)
    await follow(hub, *[event(n, {ada.id}, "tool", f"step {n}", "running") for n in range(1, count + 1)])
    lines = [value[f"e:{n}"]["message"] for n, value in enumerate(namespace.values(LOG), start=1)]
    assert lines == [f"step {n}" for n in range(1, count + 1)]
    progress = namespace.values(LIVE)
    assert len(progress) == (count if count <= FEW else 1)
    assert progress[-1][f"p:{TASK}"] == {"n": count, "run": str(RUN), "line": {"message": f"step {count}"}}
    assert {room for room, _ in namespace.sent} == {f"room:{PROJECT}", f"room:{TASK}"}


async def test_what_comes_while_another_is_sent_is_sent_too(
    hub: Hub, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = person()
    await hub.join("s1", ada, PROJECT, TASK)
    sending, emit = asyncio.Event(), namespace.emit

    async def slowly(name: str, update: Any, room: str) -> None:
        sending.set()
        await asyncio.sleep(2 * live.BEAT)
        await emit(name, update, room)

    monkeypatch.setattr(namespace, "emit", slowly)
    await hub._take(event(1, {ada.id}))
    await sending.wait()
    await hub._take(event(2, {ada.id}))
    await asyncio.sleep(8 * live.BEAT)
    assert [key for value in namespace.values(LOG) for key in value if key.startswith("e:")] == ["e:1", "e:2"]


async def test_lines_go_to_nobody_who_has_not_opened_the_task(hub: Hub, namespace: Namespace) -> None:
    ada = person()
    await hub.join("s1", ada, PROJECT, None)
    await follow(hub, event(1, {ada.id}))
    assert namespace.sent == []


async def test_a_long_line_is_announced_and_fetched_by_the_reader(hub: Hub, namespace: Namespace) -> None:
    ada = person()
    await hub.join("s1", ada, PROJECT, TASK)
    await follow(hub, event(RING + 1, {ada.id}, message="x" * 5000))
    (value,) = namespace.values(LOG)
    assert value == {"e:1": {"run": str(RUN), "seq": RING + 1, "cut": True}, f"newest:{RUN}": RING + 1}


async def test_who_may_no_longer_see_it_leaves_before_the_update(hub: Hub, namespace: Namespace) -> None:
    ada, bob = person(), person()
    await hub.join("ada", ada, PROJECT, TASK)
    await hub.join("bob", bob, PROJECT, TASK)
    await follow(hub, event(1, {ada.id}))
    assert namespace.rooms["bob"] == set()
    assert namespace.rooms["ada"] == {f"room:{PROJECT}", f"room:{TASK}"}


async def test_news_that_nobody_understands_does_not_end_the_others(
    hub: Hub, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pages read their boards again, and the next news arrives as ever."""
    monkeypatch.setattr(live, "AGAIN", 0.0)
    ada = person()
    await hub.join("s1", ada, PROJECT, TASK)
    odd = News(
        1, "execution:progress", PROJECT, TASK, None, {}, frozenset({ada.id}), event(1, {ada.id}).event
    )
    reader = Reader(odd)
    task = asyncio.create_task(hub.follow(reader))  # type: ignore[arg-type]
    async with asyncio.timeout(5):
        while not any("behind" in value for value in namespace.values(LIVE)):
            await asyncio.sleep(0.01)
    reader.hand(event(2, {ada.id}))
    await asyncio.sleep(3 * live.BEAT)
    task.cancel()
    assert "e:2" in namespace.values(LOG)[-1]


async def test_the_end_of_a_login_empties_its_seats_and_no_others(hub: Hub, namespace: Namespace) -> None:
    ada = person()
    elsewhere = Actor(ada.id, ada.name, ada.username, ada.email, uuid4())
    await hub.join("s1", ada, PROJECT, None)
    await hub.join("s2", elsewhere, PROJECT, None)
    ended = News(
        9, "session:ended", None, None, ada.id, {"sessionIds": [str(ada.session_id)]}, frozenset({ada.id})
    )
    await follow(hub, ended)
    assert namespace.rooms == {"s1": set(), "s2": {f"room:{PROJECT}"}}
    assert namespace.sent == [("s1", {LIVE: {"ended": True}})]


async def test_a_batch_is_one_line_for_those_who_may_see_it(
    hub: Hub, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bob = person(), person()
    await hub.join("ada", ada, PROJECT, None)
    await hub.join("bob", bob, PROJECT, None)
    asked: list[Actor] = []

    async def found(session: object, actor: Actor, batch_ids: Collection[UUID]) -> list[BatchView]:
        asked.append(actor)
        return [replace(batch(member()), id=one, project_id=PROJECT) for one in batch_ids]

    async def viewers(session: object, project_ids: list[UUID]) -> dict[UUID, frozenset[UUID]]:
        return {PROJECT: frozenset({ada.id})}

    monkeypatch.setattr(livecards.batches, "some", found)
    monkeypatch.setattr(live.access, "viewers", viewers)
    monkeypatch.setattr(live.db, "transaction", nullcontext)
    batch_id = uuid4()
    data = {"batchId": str(batch_id), "status": "running"}
    one = News(1, "batch:started", PROJECT, None, ada.id, data, frozenset({ada.id}))
    two = News(2, "batch:task:started", PROJECT, TASK, ada.id, data, frozenset({ada.id}))
    await follow(hub, one, two)
    assert namespace.rooms["bob"] == set()
    assert asked == [ada], "asked once for both"
    (line,) = [sent for sent in namespace.values(LIVE) if f"b:{batch_id}" in sent]
    assert (line[f"b:{batch_id}"]["n"], line[f"b:{batch_id}"]["status"]) == (2, "running")


async def test_a_refused_move_is_taken_back(hub: Hub, namespace: Namespace) -> None:
    await hub.put_back("s1", str(TASK))
    assert namespace.sent == [("s1", {LIVE: {f"o:{TASK}": None}})]


async def test_how_late_a_line_reaches_the_board_is_counted(
    hub: Hub, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    late: list[tuple[str, list[int]]] = []
    monkeypatch.setattr(metrics, "handed_on", lambda way, news: late.append((way, [one.id for one in news])))
    ada = person()
    await hub.join("s1", ada, PROJECT, TASK)
    await follow(hub, event(1, {ada.id}), event(2, {ada.id}))
    assert late == [("board", [1, 2])]
    assert namespace.sent, "once they were sent"
