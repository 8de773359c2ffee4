"""Who asks too often is told when to come back, and nobody else notices."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from openlinear import db
from openlinear.api import rates
from openlinear.api.app import create_api
from openlinear.services import accounts
from openlinear.services.views import Actor
from openlinear.settings import get_settings
from tests.support.product import PASSWORD, PUBLIC_URL, MakeActor, Workerless

pytestmark = pytest.mark.usefixtures("product")


class Clock:
    """Time goes on when the test says so."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(rates, "time", made)
    return made


@pytest.fixture(autouse=True)
def few(product: Workerless, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_PER_MINUTE", "3")
    monkeypatch.setenv("REQUESTS_PER_MINUTE_PER_ADDRESS", "10")
    get_settings.cache_clear()


async def headers_of(actor: Actor) -> dict[str, str]:
    async with db.transaction() as session:
        token, _ = await accounts.login(session, actor.email, PASSWORD, address="test")
    return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def clients() -> AsyncIterator[Callable[[str], httpx.AsyncClient]]:
    """Clients of one server, each from the address it names."""
    app = create_api()
    made: list[httpx.AsyncClient] = []

    def client(address: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app, client=(address, 1), raise_app_exceptions=False)
        made.append(httpx.AsyncClient(transport=transport, base_url=PUBLIC_URL))
        return made[-1]

    yield client
    for one in made:
        await one.aclose()


async def test_a_login_is_refused_and_comes_back_and_others_are_not(
    clock: Clock, ada: Actor, make_actor: MakeActor
) -> None:
    hers, his = await headers_of(ada), await headers_of(await make_actor("Bo"))
    async with clients() as client:
        api = client("192.0.2.1")
        for left in (2, 1, 0):
            answer = await api.get("/api/tasks", headers=hers)
            assert answer.status_code == 200
            assert answer.headers["ratelimit-policy"] == '"login";q=3;w=60'
            assert answer.headers["ratelimit"] == f'"login";r={left};t=0'
        refused = await api.get("/api/tasks", headers=hers)
        assert refused.status_code == refused.json()["status"] == 429
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.headers["retry-after"] == "20"
        assert (await api.get("/api/tasks", headers=his)).status_code == 200
        assert (await api.get("/health")).status_code == 503  # no worker runs here
        clock.now += 20
        assert (await api.get("/api/tasks", headers=hers)).status_code == 200
        assert (await api.get("/api/tasks", headers=hers)).status_code == 429


async def test_an_address_is_refused_whatever_tokens_it_makes_up(clock: Clock, ada: Actor) -> None:
    hers = await headers_of(ada)
    async with clients() as client:
        api = client("192.0.2.1")
        for number in range(10):
            answer = await api.get("/api/tasks", headers={"Authorization": f"Bearer {number}"})
            assert answer.status_code == 401
        assert (await api.get("/api/tasks", headers={"Authorization": "Bearer new"})).status_code == 429
        assert (await api.post("/api/auth/login", json={})).status_code == 429
        assert (await api.get("/api/tasks", headers=hers)).status_code == 429
        # What was refused by the address is not counted against the login.
        assert (await client("192.0.2.2").get("/api/tasks", headers=hers)).headers["ratelimit"] == (
            '"login";r=2;t=0'
        )


async def test_a_network_of_ipv6_is_one_caller(clock: Clock) -> None:
    async with clients() as client:
        for number in range(10):
            await client(f"2001:db8:1:1::{number}").get("/api/tasks")
        assert (await client("2001:db8:1:1:ffff::1").get("/api/tasks")).status_code == 429
        assert (await client("2001:db8:1:2::1").get("/api/tasks")).status_code == 401


async def test_a_page_elsewhere_can_read_the_refusal(clock: Clock) -> None:
    there = {"Origin": get_settings().cors_origin}
    async with clients() as client:
        api = client("192.0.2.1")
        answers = [await api.get("/api/tasks", headers=there) for _ in range(11)]
    refused = answers[-1]
    assert refused.status_code == 429
    assert refused.headers["access-control-allow-origin"] == there["Origin"]
    assert "Retry-After" in refused.headers["access-control-expose-headers"]


def test_only_so_many_callers_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "CALLERS", 2)
    buckets = rates.Buckets("login", 5)
    for key in ("a", "b", "c"):
        buckets.take(key, 0.0)
    assert buckets.take("b", 0.0).left == 3
    assert buckets.take("a", 0.0).left == 4  # forgotten, so full
