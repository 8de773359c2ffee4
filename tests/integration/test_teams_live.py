"""What a team's members are told as it happens, and that it ends with their removal, in every process."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from types import SimpleNamespace

import httpx
import pytest
from sqlalchemy import update
from sqlmodel import col

from openlinear import db, live
from openlinear.live import Hub, LiveState
from openlinear.models import Task
from openlinear.newsreader import news_reader
from openlinear.services import accounts, feed, members, projects, tasks
from openlinear.services.views import Actor
from tests.integration.test_events import stream, token_of
from tests.support.live import Namespace
from tests.support.teams import Crew

LIVE = LiveState.get_full_name()


@pytest.fixture
async def elsewhere(crew: Crew) -> AsyncIterator[str]:
    """The URL of a second web process on the same database."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "--factory", "openlinear.api.app:create_api"]
    server = await asyncio.create_subprocess_exec(*command, "--port", str(port), "--log-level", "warning")
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(30), httpx.AsyncClient() as client:
            while True:
                try:
                    await client.get(url + "/health")
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
        yield url
    finally:
        server.terminate()
        await server.wait()


async def rename(actor: Actor, crew: Crew, title: str) -> None:
    async with db.transaction() as session:
        found = await tasks.list_tasks(session, actor, tasks.TaskFilter(crew.project.id))
        await tasks.update_task(session, actor, found.items[0].id, {"title": title})


async def test_a_stream_in_another_process_tells_a_removed_member_nothing_more(
    elsewhere: str, crew: Crew
) -> None:
    card = await crew.task()
    mia, olga = await token_of(crew.member), await token_of(crew.owner)
    async with stream(elsewhere, mia) as theirs, stream(elsewhere, olga) as owners:
        await rename(crew.owner, crew, "Seen by both")
        number, kind, data = await theirs.event()
        assert (kind, data["taskId"]) == ("task:updated", str(card.id))
        assert await owners.event() == (number, kind, data)
        await members.remove_member(crew.admin, crew.team.id, crew.member.id)
        await rename(crew.owner, crew, "Seen by one")
        assert (await owners.event())[1] == "task:updated"
        own = await projects.create_project(
            crew.member, projects.ProjectInput("Own", "https://example.com/own.git")
        )
        last, kind, data = await theirs.event()
        assert (kind, data) == ("project:created", {"projectId": str(own.id)})
    async with stream(elsewhere, mia, after=0) as theirs:
        assert (await theirs.event())[0] == last, "nor when they come back"


async def test_that_a_project_is_deleted_is_for_its_members(crew: Crew) -> None:
    await members.remove_member(crew.admin, crew.team.id, crew.member.id)
    async with db.transaction() as session:
        await projects.delete_project(session, crew.admin, crew.project.id)
    async with db.snapshot() as session:
        told = (await feed.missed(session, crew.owner, 0))[-1]
        assert told.kind == "project:deleted"
        assert told.viewers == {crew.owner.id, crew.admin.id}
        assert "project:deleted" not in {one.kind for one in await feed.missed(session, crew.member, 0)}


@pytest.fixture
async def namespace() -> Namespace:
    return Namespace()


@pytest.fixture
async def hub(crew: Crew, namespace: Namespace) -> AsyncIterator[Hub]:
    """A process's hub, at work: the member sits first, and the owner."""
    hub = Hub()
    hub.attach(SimpleNamespace(event_namespace=namespace))
    await hub.join("member", crew.member, crew.project.id, None)
    await hub.join("owner", crew.owner, crew.project.id, None)
    await news_reader().start()
    following = asyncio.create_task(hub.follow(news_reader()))
    await asyncio.sleep(0)
    yield hub
    following.cancel()
    await asyncio.wait([following])


async def until(namespace: Namespace, title: str) -> None:
    """Until a card of this title was sent."""
    async with asyncio.timeout(10):
        while not any(title in str(delta) for _, delta in namespace.sent):
            await asyncio.sleep(0.01)


async def test_a_removed_members_page_leaves_the_room_and_is_told_to_look_again(
    hub: Hub, namespace: Namespace, crew: Crew
) -> None:
    await crew.task("Seen by both")
    await until(namespace, "Seen by both")
    room = f"room:{crew.project.id}"
    assert namespace.rooms == {"member": {room}, "owner": {room}}
    namespace.sent.clear()
    await members.remove_member(crew.owner, crew.team.id, crew.member.id)
    async with asyncio.timeout(10):
        while not namespace.sent:
            await asyncio.sleep(0.01)
    assert namespace.rooms == {"member": set(), "owner": {room}}
    ((to, delta),) = namespace.sent
    assert (to, list(delta[LIVE])) == ("member", ["behind"])


async def test_what_was_read_after_a_removal_is_sent_without_them(
    hub: Hub, namespace: Namespace, crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A beat reads rows that are newer than the news it sends, before it has heard of the removal."""
    monkeypatch.setattr(live, "BEAT", 0.3)
    card = await crew.task("First")
    await until(namespace, "First")
    namespace.sent.clear()
    monkeypatch.setattr(hub, "_look_again", lambda _: asyncio.sleep(0))
    await rename(crew.owner, crew, "Told")  # waits for the beat
    async with db.transaction() as session:
        await members._remove(session, crew.owner, crew.team.id, crew.member.id)
    async with db.transaction() as session:  # without news of its own
        await session.execute(update(Task).where(col(Task.id) == card.id).values(title="Quiet"))
    await until(namespace, "Quiet")
    rooms = {to for to, delta in namespace.sent if "Quiet" in str(delta)}
    assert rooms == {f"room:{crew.project.id}"}
    assert namespace.rooms["member"] == set()
    assert not any("gone" in str(delta) for _, delta in namespace.sent)


async def test_a_login_elsewhere_keeps_its_own_seat(hub: Hub, namespace: Namespace, crew: Crew) -> None:
    """Somebody who leaves one team still looks at what is theirs."""
    own = await projects.create_project(
        crew.member, projects.ProjectInput("Own", "https://example.com/own.git")
    )
    token = await token_of(crew.member)
    async with db.transaction() as session:
        again = await accounts.authenticate(session, token)
    await hub.join("own", again, own.id, None)
    await members.remove_member(crew.member, crew.team.id, crew.member.id)
    async with asyncio.timeout(10):
        while namespace.rooms["member"]:
            await asyncio.sleep(0.01)
    assert namespace.rooms["own"] == {f"room:{own.id}"}
