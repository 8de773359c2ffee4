"""The product on a real PostgreSQL: settings, people, projects. No engine worker runs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID, uuid4

import httpx
import pytest
import uvicorn

import openlinear.engine_client
from engine.client import Engine, RemoteFound, SignInFound
from engine.enqueue import EngineAway
from openlinear import db, passwords, vault
from openlinear.api.app import create_api
from openlinear.newsreader import news_reader
from openlinear.services import accounts, logins, projects
from openlinear.services.views import Actor, ProjectView
from openlinear.settings import Settings, get_settings

CHEAP = 4
"""bcrypt's least cost: these tests are not about guessing passwords."""
PASSWORD = "correct horse battery"
PUBLIC_URL = "http://board.test"


class Workerless(Engine):
    """The real client, save that remotes answer from here, where no worker runs to ask them."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.remote: RemoteFound | None = RemoteFound("main", ("main", "dev"))
        """What the next remote says; None for a worker that is away."""
        self.asked: list[UUID] = []

    async def check_remote(self, project_id: UUID, user_id: UUID) -> RemoteFound:
        self.asked.append(project_id)
        if self.remote is None:
            raise EngineAway
        return self.remote

    async def begin_sign_in(self, user_id: UUID, provider: str, method: int | None) -> SignInFound:
        return SignInFound(f"https://{provider}.example.org/sign-in", "code", "")

    async def end_sign_in(self, user_id: UUID, provider: str, method: int) -> str | None:
        return "The provider did not let you in."

    async def refused_hosts(self, user_id: UUID) -> list[str]:
        return ["npm.example.com"]

    async def try_provider(self, user_id: UUID, provider: str, model: str) -> str | None:
        return None


@pytest.fixture
async def product(database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Workerless]:
    """The product's settings and connections for a fresh database; yields its engine client."""
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setenv("JWT_SECRET", "0123456789abcdef" * 4)
    monkeypatch.setenv("OPENLINEAR_SECRET_KEY", "fedcba9876543210" * 4)
    monkeypatch.setenv("PUBLIC_URL", PUBLIC_URL)
    monkeypatch.setenv("REGISTRATION", "open")
    monkeypatch.setattr(passwords, "COST", CHEAP)
    for cached in (get_settings, passwords._dummy, vault._keys):
        cached.cache_clear()
    client = Workerless(get_settings())
    monkeypatch.setattr(openlinear.engine_client, "_client", client)
    try:
        yield client
    finally:
        await uses_kept()
        await news_reader().stop()
        news_reader.cache_clear()
        await client.close()
        await db.close()
        get_settings.cache_clear()


async def uses_kept() -> None:
    """Wait until it is kept when logins and tokens were used."""
    while logins._under_way:
        await asyncio.wait(logins._under_way)


MakeActor = Callable[..., Awaitable[Actor]]


@pytest.fixture
async def make_actor(product: Workerless) -> MakeActor:
    """Make somebody with an account, logged in."""

    async def make(name: str = "Ada Lovelace") -> Actor:
        email = f"{uuid4().hex[:12]}@example.com"
        async with db.transaction() as session:
            token, _ = await accounts.register(session, name, email, PASSWORD, address="test")
        async with db.transaction() as session:
            return await accounts.authenticate(session, token)

    return make


@pytest.fixture
async def one_connection(product: Workerless, monkeypatch: pytest.MonkeyPatch) -> None:
    """The web process has a single one: whoever holds it and wants another waits for ever."""
    monkeypatch.setattr(db, "POOL", 1)
    monkeypatch.setattr(db, "OVERFLOW", 0)
    await db.close()


@pytest.fixture
async def ada(make_actor: MakeActor) -> Actor:
    return await make_actor("Ada Lovelace")


@pytest.fixture
async def project(ada: Actor) -> ProjectView:
    """A project of Ada's whose remote answered."""
    wanted = projects.ProjectInput(name="Cart service", clone_url="https://example.com/acme/cart.git")
    return await projects.create_project(ada, wanted)


@pytest.fixture
async def api(product: Workerless) -> AsyncIterator[httpx.AsyncClient]:
    """The HTTP interface in this process, with no token. Errors are answers, as a server makes them."""
    transport = httpx.ASGITransport(create_api(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=PUBLIC_URL) as client:
        yield client


@pytest.fixture
async def served(product: Workerless) -> AsyncIterator[str]:
    """The HTTP interface behind a real server on a free port, for what streams: its URL."""
    config = uvicorn.Config(create_api(), port=0, log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
