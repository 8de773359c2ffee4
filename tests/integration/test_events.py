"""News: in the order of commits, to whom it may concern, again for who missed some."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlmodel.ext.asyncio.session import AsyncSession

from engine.client import EventView
from engine.db import Database
from engine.models import Run, now
from engine.record import Entry, append
from openlinear import db
from openlinear.adapters import product as engine_side
from openlinear.api import events
from openlinear.newsreader import NewsReader, Subscription, news_reader
from openlinear.services import accounts, execution, feed, news, projects, tasks
from openlinear.services.demo import create_demo
from openlinear.services.tasks import TaskInput
from openlinear.services.views import Actor, ProjectView, TaskView
from openlinear.settings import get_settings
from tests.support.engine import recorder_of
from tests.support.product import PASSWORD, MakeActor, Workerless


async def make(actor: Actor, project: ProjectView, title: str = "Do it") -> TaskView:
    async with db.transaction() as session:
        return await tasks.create_task(session, actor, TaskInput(project.id, title))


async def token_of(actor: Actor) -> str:
    async with db.transaction() as session:
        return (await accounts.login(session, actor.email, PASSWORD, address="test"))[0]


class Stream:
    """A client of /api/events."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()
        self.comments: list[str] = []

    async def event(self) -> tuple[int, str, dict[str, Any]]:
        """The next event: its id, name and data. StopAsyncIteration at the end."""
        found: dict[str, str] = {}
        async with asyncio.timeout(10):
            while True:
                line = await anext(self._lines)
                if line.startswith(":"):
                    self.comments.append(line)
                elif line:
                    name, _, value = line.partition(": ")
                    found[name] = value
                elif found:
                    return int(found["id"]), found["event"], json.loads(found["data"])

    async def comment(self) -> str:
        async with asyncio.timeout(10):
            while not (line := await anext(self._lines)).startswith(":"):
                pass
        return line


@asynccontextmanager
async def stream(url: str, token: str, after: int | None = None) -> AsyncIterator[Stream]:
    headers = {"Authorization": f"Bearer {token}"}
    if after is not None:
        headers["Last-Event-ID"] = str(after)
    async with (
        httpx.AsyncClient(timeout=20) as client,
        client.stream("GET", f"{url}/api/events", headers=headers) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        following = Stream(answer)
        assert await following.comment() == ": connected"
        yield following


async def test_ids_follow_commits_so_a_reader_misses_nothing(ada: Actor, project: ProjectView) -> None:
    """Twelve writers, and a reader that remembers the last id it saw, all at once."""
    seen: list[int] = []
    written = asyncio.Event()

    async def read() -> None:
        while True:
            over = written.is_set()
            async with db.snapshot() as session:
                batch = await feed.news(session, seen[-1] if seen else 0, limit=7)
            seen.extend(item.id for item in batch)
            if over and not batch:
                return

    async def write() -> None:
        for _ in range(8):
            async with db.transaction() as session:
                await news.tell(session, "task:updated", ada.id, project_id=project.id)
                await asyncio.sleep(random.uniform(0, 0.01))  # numbered, not committed yet

    reader = asyncio.create_task(read())
    await asyncio.gather(*(write() for _ in range(12)))
    written.set()
    await reader
    async with db.snapshot() as session:
        everything = [item.id for item in await feed.news(session, 0)]
    assert seen == everything == sorted(everything)
    assert len(everything) == 97  # the project and 96 changes


async def test_a_batch_is_of_one_moment(
    product: Workerless, ada: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is committed between the two reads of a batch is in the next one, whole."""
    async with db.transaction() as session:
        demo, cards = await create_demo(session, ada)
        run_id = await execution.execute(session, ada, cards[0].id)
    read = product.news

    async def read_then_written(session: AsyncSession, after: int, limit: int = 500) -> list[EventView]:
        found = await read(session, after, limit)
        await act_out(run_id)
        await make(ada, demo)
        return found

    async with db.snapshot() as session:
        last = await feed.latest_id(session)
    monkeypatch.setattr(product, "news", read_then_written)
    async with db.snapshot() as session:
        assert await feed.news(session, last) == []
    monkeypatch.undo()
    async with db.snapshot() as session:
        assert len(await feed.news(session, last)) == 6


async def test_changes_and_run_events_are_one_sequence(ada: Actor) -> None:
    async with db.transaction() as session:
        _, cards = await create_demo(session, ada)
    async with db.transaction() as session:
        run_id = await execution.execute(session, ada, cards[0].id)
    await act_out(run_id)
    async with db.snapshot() as session:
        told = await feed.news(session, 0)
        assert await feed.latest_id(session) == told[-1].id
        cut = [item.id for item in await feed.news(session, told[1].id, limit=3)]
    assert [item.kind for item in told] == [
        "project:created",
        "task:updated",
        "execution:progress",
        "execution:log",
        "task:updated",
        "inbox:updated",
        "execution:completed",
    ]
    assert cut == [item.id for item in told[2:5]]
    assert all(item.viewers == {ada.id} for item in told)


async def act_out(run_id: UUID) -> None:
    """What the engine writes of a short run."""
    database = Database(get_settings().database_url, pool_size=2)
    recorder = recorder_of(database, run_id)
    await recorder.note("Fetching", part="cloning", status="cloning", progress=5)
    await recorder.write([Entry("text", "t1", "0", "Hello")])
    async with recorder.transaction() as (session, run):
        run.status, run.outcome, run.pr_url, run.ended_at = "done", "pull_request", "https://x/pr/1", now()
        run.pushed_sha = "abc"
        await session.flush()
        await engine_side().ended(session, run_id)
        await append(session, run, [Entry("status", "ended", message="Done")])
    await database.close()


async def test_a_stream_tells_what_happens_and_nothing_of_others(
    served: str, ada: Actor, project: ProjectView, make_actor: MakeActor
) -> None:
    stranger = await make_actor("Bo")
    async with db.transaction() as session:
        theirs, cards = await create_demo(session, stranger)
    async with stream(served, await token_of(ada)) as mine, stream(served, await token_of(stranger)) as other:
        await make(stranger, theirs, "Theirs")
        card = await make(ada, project)
        number, kind, data = await mine.event()
        assert (kind, data) == ("task:created", {"taskId": str(card.id), "projectId": str(project.id)})
        async with db.transaction() as session:
            run_id = await execution.execute(session, stranger, cards[0].id)
        await act_out(run_id)
        told = [await other.event() for _ in range(6)]
        assert [kind for _, kind, _ in told] == [
            "task:created",
            "task:updated",
            "execution:progress",
            "execution:log",
            "task:updated",
            "execution:completed",
        ]
        task = {"taskId": str(cards[0].id)}
        task["runId"] = str(run_id)
        assert told[2][2] == {**task, "seq": 1, "status": "cloning", "progress": 5, "message": "Fetching"}
        assert told[3][2] == {**task, "seq": 2, "level": "info", "message": "Hello"}
        assert told[5][2]["prUrl"] == "https://x/pr/1"
        assert told[5][2]["outcome"] == "pull_request"
        assert told[5][2]["branchName"] == f"openlinear/{cards[0].id}"
        await make(ada, project, "Second")
        later, kind, data = await mine.event()
        assert kind == "task:created"
        assert later > told[5][0] > number


async def test_who_comes_back_gets_what_they_missed_once(
    served: str, ada: Actor, project: ProjectView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "BATCH", 2)
    token = await token_of(ada)
    async with stream(served, token) as following:
        await make(ada, project)
        last, _, _ = await following.event()
    missed = [await make(ada, project) for _ in range(5)]
    async with stream(served, token, after=last) as following:
        fresh = await make(ada, project)
        got = [(await following.event())[2]["taskId"] for _ in range(6)]
        assert got == [str(card.id) for card in [*missed, fresh]]


async def test_who_comes_back_to_a_reader_that_is_behind_hears_nothing_twice(
    served: str, ada: Actor, project: ProjectView
) -> None:
    token, reader = await token_of(ada), news_reader()
    async with stream(served, token) as following:
        await make(ada, project)
        last, _, _ = await following.event()
    async with stream(served, token, after=last) as following, stream(served, token, after=10**17) as ahead:
        reader.last = 0  # as where that process was slow
        card = await make(ada, project, "Fresh")
        assert (await following.event())[2]["taskId"] == str(card.id)
        assert (await ahead.event())[2]["taskId"] == str(card.id)


async def test_a_run_is_completed_once_and_says_how(product: Workerless, ada: Actor) -> None:
    """What is said of it afterwards is a line of its log. A branch is named once it is pushed."""
    async with db.transaction() as session:
        _, cards = await create_demo(session, ada)
        run_id = await execution.execute(session, ada, cards[0].id)
    async with db.transaction() as session:
        await execution.cancel(session, ada, cards[0].id)
    database = Database(get_settings().database_url, pool_size=2)
    await recorder_of(database, run_id).postscript("The workspace could not be removed", part="tidy")
    await database.close()
    async with db.snapshot() as session:
        told = [item for item in await feed.news(session, 0) if item.kind.startswith("execution:")]
    assert [item.kind for item in told] == ["execution:completed", "execution:log"]
    assert {name: told[0].data[name] for name in ("outcome", "branchName", "prUrl")} == {
        "outcome": "cancelled",
        "branchName": None,
        "prUrl": None,
    }
    assert told[1].data["message"] == "The workspace could not be removed"


async def test_who_comes_back_is_read_nothing_of_others(
    served: str, ada: Actor, project: ProjectView, make_actor: MakeActor
) -> None:
    stranger = await make_actor("Bo")
    async with db.transaction() as session:
        theirs, cards = await create_demo(session, stranger)
        run_id = await execution.execute(session, stranger, cards[0].id)
    await act_out(run_id)
    await make(stranger, theirs)
    card = await make(ada, project)
    async with db.transaction() as session:
        await projects.delete_project(session, ada, project.id)
    async with db.snapshot() as session:
        read = await feed.missed(session, ada, 0)
        assert {item.kind for item in await feed.missed(session, stranger, 0)} >= {"execution:log"}
    assert [item.kind for item in read] == ["project:created", "task:created", "project:deleted"]
    async with stream(served, await token_of(ada), after=0) as following:
        told = [await following.event() for _ in range(3)]
    assert [number for number, _, _ in told] == [item.id for item in read]
    assert told[1][2]["taskId"] == str(card.id)


async def test_a_stream_ends_with_its_login_and_others_go_on(
    served: str, ada: Actor, project: ProjectView
) -> None:
    token, kept = await token_of(ada), await token_of(ada)
    async with stream(served, token) as ending, stream(served, kept) as going_on:
        async with db.transaction() as session:
            await accounts.logout(session, await accounts.authenticate(session, token))
        await make(ada, project)
        with pytest.raises(StopAsyncIteration):
            await ending.event()
        assert (await going_on.event())[1] == "task:created"


async def test_a_quiet_stream_beats_and_checks_its_login(
    served: str, ada: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_SECONDS", 0.1)
    async with stream(served, await token_of(ada)) as following:
        assert await following.comment() == ": heartbeat"
        monkeypatch.setenv("JWT_SECRET", "another secret that is long enough to sign")
        get_settings.cache_clear()
        with pytest.raises(StopAsyncIteration):
            await following.event()


async def test_the_reader_comes_back_after_the_database_was_away(ada: Actor, project: ProjectView) -> None:
    reader = news_reader()
    async with reader.subscribe() as following:
        await make(ada, project)
        assert [item.kind for item in await anext(following)] == ["task:created"]
        async with db.transaction() as session:
            await session.connection()
            from sqlalchemy import text

            query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN news'"
            await session.execute(text(query))
        card = await make(ada, project)
        async with asyncio.timeout(10):
            (item,) = await anext(following)
        assert item.task_id == card.id


async def test_who_falls_too_far_behind_is_let_go(
    ada: Actor, project: ProjectView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openlinear.newsreader.BACKLOG", 1)
    reader = NewsReader()
    try:
        async with reader.subscribe() as slow, reader.subscribe() as quick:
            for _ in range(3):
                await make(ada, project)
                await anext(quick)
            assert len([batch async for batch in slow]) == 1
    finally:
        await reader.stop()


async def test_run_rows_are_read_and_never_copied(ada: Actor) -> None:
    async with db.transaction() as session:
        _, cards = await create_demo(session, ada)
        run_id = await execution.execute(session, ada, cards[0].id)
    async with db.transaction() as session:
        (await session.get_one(Run, run_id)).progress = 42
    async with db.transaction() as session:
        card = await tasks.task(session, ada, cards[0].id)
    assert card.execution is not None
    assert card.execution.progress == 42


async def test_a_change_right_behind_an_event_is_read_with_it(ada: Actor, project: ProjectView) -> None:
    """Both committed before either is read, and one NOTIFY tells of the latter: both are handed on."""
    async with db.transaction() as session:
        _, cards = await create_demo(session, ada)
        run_id = await execution.execute(session, ada, cards[0].id)
    reader, follower = NewsReader(), Subscription()
    reader._followers.add(follower)
    async with db.transaction() as session:
        reader.last = await feed.latest_id(session)
    database = Database(get_settings().database_url, pool_size=2)
    await recorder_of(database, run_id).note("Fetching", part="cloning")
    await database.close()
    await make(ada, project)
    async with db.transaction() as session:
        told = await feed.latest_id(session)
    async with db.snapshots() as session:
        await reader._read(session, told)
    follower.end()
    kinds = [item.kind async for batch in follower for item in batch]
    assert kinds == ["execution:progress", "task:created"]
