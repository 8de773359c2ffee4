"""Logins as one's own list of them shows, and their ends, on a real PostgreSQL."""

import asyncio
from datetime import timedelta
from types import MethodType, SimpleNamespace
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from openlinear import db
from openlinear.components.acting import Personal
from openlinear.live import Hub, LiveState
from openlinear.models import AuthSession, User
from openlinear.models.columns import now
from openlinear.newsreader import news_reader
from openlinear.services import accounts, devices, logins, throttle, tokens
from openlinear.services.errors import NotFound, NotSignedIn
from openlinear.services.views import Actor
from tests.support.live import Namespace
from tests.support.people import FIREFOX, bearing, following, log_in
from tests.support.product import PASSWORD, MakeActor, uses_kept

pytestmark = pytest.mark.usefixtures("product")


async def whose(token: str) -> Actor:
    async with db.transaction() as session:
        return await accounts.authenticate(session, token)


@pytest.mark.parametrize(
    ("user_agent", "device"),
    [
        (FIREFOX, "Firefox on Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
            "Edge on Windows",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
            "Version/18.5 Mobile/15E148 Safari/604.1",
            "Safari on iPhone",
        ),
        (
            "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 "
            "Mobile Safari/537.36",
            "Chrome on Android",
        ),
        ("curl/8.14.1", "curl"),
        ("python-httpx/0.28.1", "python-httpx"),
        ("<script>alert(1)</script>", ""),
        ("x" * 5000, "x" * 40),
        ("", ""),
    ],
)
def test_a_device_is_said_in_a_few_words(user_agent: str, device: str) -> None:
    assert devices.named(user_agent) == device


async def test_one_sees_ones_logins_and_nobody_elses(
    api: httpx.AsyncClient, ada: Actor, make_actor: MakeActor
) -> None:
    await make_actor("Bo")
    body = {"email": ada.email, "password": PASSWORD}
    token = (await api.post("/api/auth/login", json=body, headers={"User-Agent": FIREFOX})).json()["token"]
    api.cookies.clear()
    items = (await api.get("/api/account/sessions", headers=bearing(token))).json()["items"]
    assert [(one["device"], one["current"]) for one in items] == [("Firefox on Linux", True), ("", False)]
    assert items[0]["address"] == "127.0.0.1"
    assert set(items[0]) == {"id", "device", "address", "createdAt", "usedAt", "expiresAt", "current"}


async def test_it_is_kept_coarsely_when_a_login_was_used(ada: Actor) -> None:
    token = await log_in(ada.email)
    actor = await whose(token)
    async with db.transaction() as session:
        row = await session.get_one(AuthSession, actor.session_id)
        fresh, old = row.used_at, now() - timedelta(hours=1)
    assert (await whose(token)).id == ada.id
    async with db.transaction() as session:
        row = await session.get_one(AuthSession, actor.session_id)
        assert row.used_at == fresh
        row.used_at = old
    await whose(token)
    await uses_kept()
    async with db.transaction() as session:
        assert (await session.get_one(AuthSession, actor.session_id)).used_at > old + timedelta(minutes=50)
        seen = (await session.get_one(User, ada.id)).seen_at
    assert seen is not None


async def test_marking_a_use_waits_for_nobody(ada: Actor) -> None:
    token = await log_in(ada.email)
    actor = await whose(token)
    async with db.transaction() as session:
        (await session.get_one(AuthSession, actor.session_id)).used_at = now() - timedelta(hours=1)
    async with db.transaction() as held:
        await held.get_one(User, ada.id, with_for_update=True)
        await held.get_one(AuthSession, actor.session_id, with_for_update=True)
        async with asyncio.timeout(5):
            assert (await whose(token)).id == ada.id
            await uses_kept()


@pytest.mark.usefixtures("one_connection")
async def test_one_connection_is_enough_for_a_request(api: httpx.AsyncClient, ada: Actor) -> None:
    """Who held one and waited for another would hold up everybody, when all do."""
    token = await log_in(ada.email)
    async with db.transaction() as session:
        await session.execute(update(AuthSession).values(used_at=now() - timedelta(hours=1)))
    cookie = f"openlinear_session={token}"
    page: Any = SimpleNamespace(router=SimpleNamespace(headers=SimpleNamespace(cookie=cookie)), _owner="")
    page._actor = MethodType(Personal._actor, page)
    async with asyncio.timeout(10):
        assert (await api.get("/api/auth/me", headers=bearing(token))).status_code == 200
        await uses_kept()
        async with Personal._acting(page) as (_, actor):
            await throttle.admit("join as", str(actor.id), 1)


async def test_the_login_that_was_not_used_for_longest_gives_way(
    ada: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = [await log_in(ada.email) for _ in range(2)]
    async with db.transaction() as session:
        (await session.get_one(AuthSession, ada.session_id)).used_at = now() - timedelta(hours=1)
    monkeypatch.setattr(logins, "MOST", 3)
    kept.append(await log_in(ada.email))
    async with db.transaction() as session:
        found = {one.id for one in await logins.list_logins(session, await whose(kept[0]))}
    assert found == {(await whose(one)).session_id for one in kept}
    assert ada.session_id not in found


async def test_a_login_is_ended_by_its_owner_alone_and_its_stream_with_it(
    served: str, ada: Actor, make_actor: MakeActor
) -> None:
    bo = await make_actor("Bo")
    token = await log_in(ada.email)
    login_id = (await whose(token)).session_id
    async with following(served, token) as stream:
        with pytest.raises(NotFound):
            async with db.transaction() as session:
                await logins.end_login(session, bo, login_id)
        assert (await whose(token)).id == ada.id
        async with db.transaction() as session:
            await logins.end_login(session, ada, login_id)
        async with asyncio.timeout(10):
            await stream
    with pytest.raises(NotSignedIn):
        await whose(token)
    with pytest.raises(NotFound):
        async with db.transaction() as session:
            await logins.end_login(session, ada, login_id)


async def test_all_others_end_at_once_and_this_one_and_tokens_go_on(
    api: httpx.AsyncClient, ada: Actor
) -> None:
    kept, others = await log_in(ada.email), [await log_in(ada.email) for _ in range(2)]
    made = await api.post("/api/account/tokens", json={"name": "CI"}, headers=bearing(kept))
    ended = await api.delete("/api/account/sessions", headers=bearing(kept))
    assert ended.json() == {"ended": 3}  # with the one of registering
    for token in others:
        assert (await api.get("/api/auth/me", headers=bearing(token))).status_code == 401
    for token in (kept, made.json()["token"]):
        assert (await api.get("/api/auth/me", headers=bearing(token))).status_code == 200


async def test_the_pages_of_an_ended_login_are_told_wherever_they_are(ada: Actor) -> None:
    namespace, hub = Namespace(), Hub()
    hub.attach(SimpleNamespace(event_namespace=namespace))  # type: ignore[arg-type]
    here, there = await whose(await log_in(ada.email)), await whose(await log_in(ada.email))
    await hub.welcome("here", here)
    await hub.welcome("there", there)
    reader = news_reader()
    await reader.start()
    watching = asyncio.create_task(hub.follow(reader))
    try:
        async with asyncio.timeout(10):
            while not reader._followers:
                await asyncio.sleep(0.01)
            async with db.transaction() as session:
                await logins.end_others(session, here)
            while not namespace.sent:
                await asyncio.sleep(0.01)
    finally:
        watching.cancel()
    assert namespace.sent == [("there", {LiveState.get_full_name(): {"ended": True}})]
    assert namespace.rooms == {"here": {"everybody"}, "there": set()}


async def test_a_page_takes_no_access_token(ada: Actor) -> None:
    """What a token may do is checked by the API: a page in its name would let a reading one write."""
    async with db.transaction() as session:
        made = await tokens.make(session, ada, "CI", "write")
    page = SimpleNamespace(
        router=SimpleNamespace(headers=SimpleNamespace(cookie=f"openlinear_session={made.token}")), _owner=""
    )
    async with db.transaction() as session:
        with pytest.raises(NotSignedIn, match="login"):
            await Personal._actor(page, session)  # type: ignore[arg-type]
