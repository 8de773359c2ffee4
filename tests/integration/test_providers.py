"""Model providers: what is kept, what is cleared, and what an endpoint is asked."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from engine.signals import EGRESS, Signals
from openlinear import db, engine_client
from openlinear.adapters import product as engine_side
from openlinear.services import accounts, providers
from openlinear.services.errors import Invalid
from openlinear.services.views import Actor
from openlinear.settings import get_settings
from tests.support.product import PASSWORD, Workerless

OWN = {"providerId": "mine", "baseUrl": "https://models.example.com/v1", "models": ["m1"]}
MOVED = "https://models.example.org/v1"
AUTH = "/api/opencode/auth"
Kept = tuple[str, bool, str | None, tuple[str, ...]]


@pytest.fixture
async def hers(api: httpx.AsyncClient, ada: Actor) -> httpx.AsyncClient:
    async with db.transaction() as session:
        token, _ = await accounts.login(session, ada.email, PASSWORD, address="test")
    api.headers["Authorization"] = f"Bearer {token}"
    return api


async def kept(actor: Actor) -> Kept:
    """The key, whether there is an account, the address and the models of the only provider."""
    (one,) = await engine_side().provider_keys(actor.id)
    return one.api_key, one.account is not None, one.base_url, tuple(one.models)


async def test_another_host_clears_the_key_and_what_is_left_out_stays(
    hers: httpx.AsyncClient, ada: Actor
) -> None:
    assert (await hers.post(AUTH, json={**OWN, "apiKey": "sk-1"})).status_code == 200
    assert (await hers.post(AUTH, json={"providerId": "mine", "models": ["m1", "m2"]})).status_code == 200
    assert await kept(ada) == ("sk-1", False, OWN["baseUrl"], ("m1", "m2"))
    other_path = {"providerId": "mine", "baseUrl": "https://models.example.com/v2"}
    assert (await hers.post(AUTH, json=other_path)).status_code == 200
    assert await kept(ada) == ("sk-1", False, other_path["baseUrl"], ("m1", "m2"))
    moved = await hers.post(AUTH, json={"providerId": "mine", "baseUrl": MOVED})
    assert (moved.status_code, moved.json()["baseUrl"]) == (200, MOVED)
    assert await kept(ada) == ("", False, MOVED, ("m1", "m2"))
    assert (await hers.post(AUTH, json={"providerId": "mine", "apiKey": "sk-2"})).status_code == 200
    assert await kept(ada) == ("sk-2", False, MOVED, ("m1", "m2"))


async def test_a_known_provider_leaves_its_own_address_and_comes_back_without_the_key(
    hers: httpx.AsyncClient, ada: Actor
) -> None:
    for given, after in (
        ({"apiKey": "sk-1"}, ("sk-1", False, None, ())),
        ({"models": ["claude-opus-4-5"]}, ("sk-1", False, None, ("claude-opus-4-5",))),
        ({"baseUrl": MOVED}, ("", False, MOVED, ("claude-opus-4-5",))),
        ({"apiKey": "sk-2"}, ("sk-2", False, MOVED, ("claude-opus-4-5",))),
        ({"baseUrl": ""}, ("", False, None, ("claude-opus-4-5",))),
        ({"models": []}, ("", False, None, ())),
    ):
        answer = await hers.post(AUTH, json={"providerId": "anthropic", **given})
        assert answer.status_code == 200, answer.text
        assert await kept(ada) == after


async def test_an_account_stays_where_only_the_models_change(hers: httpx.AsyncClient, ada: Actor) -> None:
    entry = {"type": "oauth", "access": "a", "refresh": "r", "expires": 5}
    for provider in ("anthropic", "github-copilot"):
        await engine_side().keep_account(ada.id, provider, entry, new=True)
        changed = await hers.post(AUTH, json={"providerId": provider, "models": ["m"]})
        assert (changed.status_code, changed.json()["by"]) == (200, "account"), changed.text
        assert await kept(ada) == ("", True, None, ("m",))
        gone = await hers.post(AUTH, json={"providerId": provider, "baseUrl": MOVED})
        assert (gone.status_code, gone.json()["by"]) == (200, "key")
        assert await kept(ada) == ("", False, MOVED, ("m",))
        await hers.delete(f"{AUTH}?providerId={provider}")


async def test_what_cannot_be_connected_says_what_is_missing(hers: httpx.AsyncClient) -> None:
    for given, field in (
        ({"providerId": "mine", "apiKey": "k", "models": ["m"]}, "baseUrl"),
        ({"providerId": "anthropic"}, "apiKey"),
        ({"providerId": "no\0id"}, "providerId"),
        ({**OWN, "models": ["m 1"]}, "models"),
        ({**OWN, "models": [f"m{number}" for number in range(201)]}, "models"),
    ):
        answer = await hers.post(AUTH, json=given)
        assert answer.status_code == 422, answer.text
        assert [error["field"] for error in answer.json()["errors"]] == [field]
    for answer in (
        await hers.request("DELETE", AUTH, json={"providerId": "no\0id"}),
        await hers.delete(f"{AUTH}?providerId=no%00id"),
        await hers.post(f"{AUTH}/test", json={"providerId": "no\0id"}),
    ):
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "providerId")


# -- what an endpoint names itself ----------------------------------------------------------------

Endpoint = Callable[..., Awaitable[str]]


@pytest.fixture
async def endpoint(product: Workerless, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Endpoint]:
    """Start a server on this machine that gives this answer; its base URL. `heard` is what it was sent."""
    monkeypatch.setenv("ALLOW_LOCAL_REMOTES", "true")
    get_settings.cache_clear()
    await engine_client.close()  # it has settings of its own
    servers: list[asyncio.Server] = []

    async def start(body: bytes, heard: list[str], status: str = "200 OK", more: str = "") -> str:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append((await reader.readuntil(b"\r\n\r\n")).decode())
            writer.write(f"HTTP/1.1 {status}\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
            writer.close()

        servers.append(await asyncio.start_server(serve, "127.0.0.1", 0))
        return f"http://127.0.0.1:{servers[-1].sockets[0].getsockname()[1]}/v1"

    yield start
    for server in servers:
        server.close()


async def test_an_endpoint_is_asked_for_its_models_where_nobody_named_any(
    hers: httpx.AsyncClient, ada: Actor, endpoint: Endpoint
) -> None:
    heard: list[str] = []
    ids: list[Any] = [{"id": f"m{number}"} for number in range(300)]
    listed = json.dumps({"data": [{"id": "no model"}, {"id": 7}, "x", *ids]}).encode()
    url = await endpoint(listed, heard)
    made = await hers.post(AUTH, json={"providerId": "mine", "baseUrl": url, "apiKey": "sk-1"})
    assert made.status_code == 200, made.text
    assert made.json()["models"] == [f"m{number}" for number in range(200)]
    assert heard[0].startswith("GET /v1/models HTTP/1.1\r\n")
    assert "Authorization: Bearer sk-1\r\n" in heard[0]
    elsewhere: list[str] = []
    fresh = await endpoint(b'{"data": [{"id": "n1"}]}', elsewhere)
    moved = await hers.post(AUTH, json={"providerId": "mine", "baseUrl": fresh, "models": []})
    assert moved.json()["models"] == ["n1"]
    assert "sk-1" not in "".join(elsewhere), "the key went to another host"


@pytest.mark.parametrize(
    ("body", "status", "more"),
    [
        (b'{"data": []}', "200 OK", ""),
        (b"[" * 100_000, "200 OK", ""),
        (b"<html>", "200 OK", ""),
        (b'{"data": [{"id": "m"}]}', "401 Unauthorized", ""),
        (b"", "302 Found", "Location: /v1/else\r\n"),
        (b" " * (2 << 20) + b'{"data": [{"id": "m"}]}', "200 OK", ""),
    ],
)
async def test_an_endpoint_that_names_none_leaves_it_to_the_person(
    hers: httpx.AsyncClient, endpoint: Endpoint, body: bytes, status: str, more: str
) -> None:
    heard: list[str] = []
    wanted = {"providerId": "mine", "baseUrl": await endpoint(body, heard, status, more)}
    answer = await hers.post(AUTH, json=wanted)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "models")
    assert "name at least one model" in answer.json()["detail"]
    assert len(heard) == 1
    assert (await hers.get("/api/opencode/providers")).json()["items"][0]["connected"] is False


async def test_only_a_checked_address_is_asked(ada: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that looks public and leads here is not asked: nobody can look into this network that way."""
    asked: list[str] = []

    def local(host: str, port: int, *args: object, **kwargs: object) -> list[object]:
        asked.append(host)
        return [(2, 1, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr("socket.getaddrinfo", local)
    with pytest.raises(Invalid) as refused:
        await providers.save(ada, "mine", "sk-1", base_url="https://models.example.com/v1")
    assert set(refused.value.fields) == {"models"}
    assert asked == ["models.example.com"]


# -- and the network ------------------------------------------------------------------------------


async def test_connecting_and_disconnecting_tells_those_who_guard_the_network(
    product: Workerless, database: str, ada: Actor
) -> None:
    signals = Signals(database.replace("postgresql+psycopg://", "postgresql://"))
    serving = asyncio.create_task(signals.serve())
    entry = {"type": "oauth", "access": "a", "refresh": "r", "expires": 5}

    async def connect() -> None:
        async with db.transaction() as session:
            await providers.connect(session, ada, "anthropic", "sk-1")

    async def disconnect() -> None:
        async with db.transaction() as session:
            await providers.disconnect(session, ada, "anthropic")

    async def sign_in() -> None:
        await engine_side().keep_account(ada.id, "anthropic", entry, new=True)

    try:
        with signals.watch(EGRESS) as stirred:
            stirred.clear()
            async with asyncio.timeout(10):
                await stirred.wait()  # it listens
                for act in (connect, disconnect, sign_in):
                    stirred.clear()
                    await act()
                    await stirred.wait()
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
