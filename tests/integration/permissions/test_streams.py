"""Everybody follows everything while it is written to: who is told, live, on coming back, and on a board."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import UUID

import pytest

from engine.db import Database
from engine.record import Entry
from openlinear import db
from openlinear.live import hub
from openlinear.newsreader import news_reader
from openlinear.services import batches, execution, projects, tasks
from tests.integration.permissions.matrix import filled, sees
from tests.integration.permissions.pages import handlers, pages
from tests.integration.permissions.things import canary
from tests.integration.permissions.world import ROLES, Kind, Role, World
from tests.integration.test_events import Stream, stream
from tests.support.engine import recorder_of

KINDS: tuple[Kind, ...] = ("personal", "team")
LAST = "The end"


@pytest.fixture
async def engine(database: str) -> AsyncIterator[Database]:
    opened = Database(database)
    yield opened
    await opened.close()


async def write_everything(world: World, database: Database, kind: Kind) -> None:
    """The owner changes whatever makes news, and a worker writes to a run."""
    owner, ids, text = world.people["owner"].actor, world.things[kind], canary(kind)
    project_id, spare, task_id, batch_id, run_id = (
        UUID(ids[name]) for name in ("project_id", "spare_project", "task_id", "batch_id", "run_id")
    )
    entries = [
        Entry("tool", "live", "running", text, details={"tool": "bash", "input": {"command": text}}),
        Entry("status", "live", message=text, details={"status": "executing"}),
    ]
    await recorder_of(database, run_id).write(entries, message=text)
    async with db.transaction() as session:
        made = await tasks.create_task(session, owner, tasks.TaskInput(project_id, text))
    async with db.transaction() as session:
        await tasks.update_task(session, owner, made.id, {"description": text})
    async with db.transaction() as session:
        await tasks.delete_task(session, owner, made.id)
    async with db.transaction() as session:
        await batches.cancel(session, owner, batch_id)
    async with db.transaction() as session:
        await execution.cancel(session, owner, task_id)
    await projects.update_project(owner, project_id, projects.ProjectPatch(name=f"{text} renamed"))
    async with db.transaction() as session:
        await projects.delete_project(session, owner, spare)
    async with db.transaction() as session:
        await tasks.create_task(session, owner, tasks.TaskInput(project_id, f"{LAST} {text}"))


async def touch_own(world: World, role: Role) -> None:
    person = world.people[role]
    async with db.transaction() as session:
        await tasks.update_task(session, person.actor, UUID(person.own["my_task"]), {"description": role})


async def read_until(following: Stream, *, task: str = "", number: int = 0) -> tuple[int, str]:
    """All that the stream tells until news of this task, or of this number; that number."""
    told = []
    while True:
        at, kind, data = await following.event()
        told.append(f"{kind} {data}")
        if at == number or data.get("taskId") == task:
            return at, "\n".join(told)


def judge(world: World, role: Role, how: str, told: str) -> list[str]:
    """What is wrong with somebody being told this."""
    wrong = [f"{role} is told {one!r} {how}" for one in world.hidden_from(role) if one in told]
    for kind in KINDS:
        heard = any(world.things[kind][name] in told for name in ("project_id", "task_id", "batch_id"))
        if heard != sees(role, kind):
            wrong.append(f"{role} is {'' if heard else 'not '}told of what is {kind} {how}")
    return wrong


async def test_nobody_is_streamed_what_is_not_theirs(world: World, served: str, engine: Database) -> None:
    wrong = []
    last: dict[Role, int] = {}
    async with AsyncExitStack() as stack:
        following = {
            role: await stack.enter_async_context(stream(served, person.token))
            for role, person in world.people.items()
        }
        for kind in KINDS:
            await write_everything(world, engine, kind)
        for role, one in following.items():
            await touch_own(world, role)
            last[role], told = await read_until(one, task=world.people[role].own["my_task"])
            wrong += judge(world, role, "live", told)
    for role, person in world.people.items():
        async with stream(served, person.token, after=0) as again:
            _, told = await read_until(again, number=last[role])
        wrong += judge(world, role, "on coming back", told)
    assert not wrong, "\n".join(["", *wrong])


async def test_no_board_shows_what_is_not_theirs(
    world: World, engine: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each opens each board with a task and a batch of it, and stays there."""
    arrive = handlers()["State.hydrate_and_load"][0]
    seats: dict[tuple[Role, Kind], list[str]] = {}
    async with pages(monkeypatch) as site:
        await news_reader().start()
        at_work = asyncio.create_task(hub.follow(news_reader()))
        for role in ROLES:
            for kind in KINDS:
                for at in ("/p/{project_id}/t/{task_id}", "/p/{project_id}/b/{batch_id}"):
                    sid = await site.connect(world.people[role].token if role in world.people else "")
                    await site.event(sid, arrive, {"vars": {}, "hashes": []}, filled(at, world.things[kind]))
                    seats.setdefault((role, kind), []).append(sid)
        site.sent.clear()
        for kind in KINDS:
            await write_everything(world, engine, kind)
        told = {seat: "\n".join(map(site.told, sids)) for seat, sids in seats.items()}
        async with asyncio.timeout(20):
            while not all(f"{LAST} {canary(kind)}" in told[("owner", kind)] for kind in KINDS):
                await asyncio.sleep(0.05)
                told = {seat: "\n".join(map(site.told, sids)) for seat, sids in seats.items()}
        at_work.cancel()
        await asyncio.wait([at_work])
    wrong = []
    for (role, kind), text in told.items():
        wrong += [f"{role} is sent {one!r} at {kind}" for one in world.hidden_from(role) if one in text]
        heard = world.things[kind]["task_id"] in text and world.things[kind]["batch_id"] in text
        if heard != sees(role, kind):
            wrong.append(f"{role} is {'' if heard else 'not '}sent what happens at {kind}: {text[:300]}")
    assert not wrong, "\n".join(["", *wrong])
