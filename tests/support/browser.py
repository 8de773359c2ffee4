"""The product as people meet it: its web server on a real database, and Chromium."""

import asyncio
import os
import shutil
import signal
import socket
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from openlinear import frontend, processes
from openlinear.settings import Settings
from tests.support.needs import require

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
QUIET = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
]
JWT_SECRET = "0123456789abcdef" * 4
PASSWORD = "correct horse battery"
START_SECONDS = 30


@dataclass(frozen=True)
class Site:
    """A running web server. No engine worker runs: tests write what one would."""

    url: str
    database_url: str


@pytest.fixture(scope="session")
def site(postgres_url: str, migrated_template: str) -> Iterator[Site]:
    with serving(postgres_url, migrated_template) as started:
        yield started


@contextmanager
def serving(postgres_url: str, migrated_template: str, **extra: str) -> Iterator[Site]:
    """A web server on a fresh database. `extra` are further settings."""
    frontend.build()
    name = f"site_{uuid4().hex[:12]}"
    plain = postgres_url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {migrated_template}")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    home = Path(tempfile.mkdtemp(prefix="openlinear-site-"))
    env = {
        **os.environ,
        "DATABASE_URL": postgres_url.replace("@/openlinear?", f"@/{name}?"),
        "JWT_SECRET": JWT_SECRET,
        "OPENLINEAR_SECRET_KEY": "fedcba9876543210" * 4,
        "OPENLINEAR_HOME": str(home),
        "API_PORT": str(port),
        "PUBLIC_URL": f"http://localhost:{port}",
        "ALLOW_LOCAL_REMOTES": "true",
        **extra,
    }
    settings = Settings(api_port=port, openlinear_home=home)
    with (home / "web.log").open("wb") as log:
        server = processes.web(settings, env).start(log, on_orphan=signal.SIGKILL)
    try:
        _wait(f"http://localhost:{port}/health", home / "web.log")
        yield Site(f"http://localhost:{port}", env["DATABASE_URL"])
    finally:
        server.terminate()
        server.wait(10)
        shutil.rmtree(home)
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _wait(url: str, log: Path) -> None:
    """Until the server answers; without an engine it says 503, which is an answer."""
    for _ in range(START_SECONDS * 10):
        try:
            urllib.request.urlopen(url).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"The web server did not start: {log.read_text()[-2000:]}")


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    require(
        shutil.which(CHROMIUM) is not None,
        "Chromium",
        "apt-get install chromium, or set CHROMIUM to its path",
    )
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        await browser.close()


@dataclass
class Visitor:
    """Somebody with an account, in a browser of their own."""

    email: str
    context: BrowserContext
    page: Page
    frames: list[str]
    """What the page's websocket received, in order."""
    site: Site

    async def go(self, path: str) -> Page:
        await self.page.goto(self.site.url + path)
        return self.page

    async def again(self) -> "Visitor":
        """The same person in a second browser."""
        assert self.context.browser is not None
        return await _enter(self.context.browser, self.site, self.email, "login")


Arrive = Callable[..., Awaitable[Visitor]]


async def _enter(browser: Browser, site: Site, email: str, how: str, name: str = "Ada Lovelace") -> Visitor:
    context = await browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(10_000)
    body = {"name": name, "email": email, "password": PASSWORD}
    answer = await context.request.post(f"{site.url}/api/auth/{how}", data=body)
    assert answer.ok, await answer.text()
    page = await context.new_page()
    frames: list[str] = []
    page.on("websocket", lambda ws: ws.on("framereceived", lambda data: frames.append(str(data))))
    return Visitor(email, context, page, frames, site)


@pytest.fixture
async def arrive(site: Site, chromium: Browser) -> AsyncIterator[Arrive]:
    """Make somebody with an account and open a browser for them."""
    visitors: list[Visitor] = []

    async def make(name: str = "Ada Lovelace") -> Visitor:
        visitor = await _enter(chromium, site, f"{uuid4().hex[:12]}@example.com", "register", name)
        visitors.append(visitor)
        return visitor

    yield make
    await asyncio.gather(*(context.close() for context in chromium.contexts))
