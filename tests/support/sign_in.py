"""The product set up for GitHub and an identity provider, both stand-ins, and browsers that sign in."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from openlinear import db
from openlinear.api.app import create_api
from openlinear.models import Identity
from openlinear.settings import get_settings
from tests.support import identity
from tests.support.github import GitHubServer
from tests.support.identity import CLIENT_ID, CLIENT_SECRET, IdentityServer
from tests.support.product import PASSWORD, PUBLIC_URL, Workerless

OURS = {"Origin": PUBLIC_URL}


@dataclass
class Tab:
    """A browser of somebody: our server by `http`, which keeps its cookies, the provider by real HTTP."""

    http: httpx.AsyncClient
    provider: IdentityServer
    outside: httpx.AsyncClient = field(default_factory=httpx.AsyncClient)

    async def go_out(self, start: str) -> str:
        """Press the button, as far as the provider's page; the id of its request."""
        answer = await self.http.get(start)
        assert answer.status_code == 303, answer.text
        return await self.ask(answer.headers["location"])

    async def ask(self, url: str) -> str:
        page = await self.outside.get(url)
        assert page.status_code == 200, page.text
        found = re.search(r'name="request" value="([^"]+)"', page.text)
        assert found is not None
        return found[1]

    async def consent(self, request: str, answer: str = "yes") -> str:
        """What the person says there; the address that the browser comes back to."""
        form = {"request": request, "answer": answer}
        sent = await self.outside.post(f"{self.provider.url}/login/oauth/consent", data=form)
        assert sent.status_code == 302
        return sent.headers["location"]

    async def sign_in(self, start: str = "/api/auth/github", answer: str = "yes") -> str:
        """There and back: where the browser ends."""
        return await self.back(await self.consent(await self.go_out(start), answer))

    async def back(self, url: str) -> str:
        answer = await self.http.get(url)
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    async def connect(self, provider: str = "github", answer: str = "yes") -> str:
        path, body = f"/api/auth/identities/{provider}", {"next": "/settings"}
        begun = await self.http.post(path, json=body, headers=OURS)
        assert begun.status_code == 200, begun.text
        return await self.back(await self.consent(await self.ask(begun.json()["url"]), answer))

    async def me(self) -> dict[str, object]:
        answer = await self.http.get("/api/auth/me")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def why(self, location: str) -> str:
        """What the page that the browser ended on says went wrong."""
        query = httpx.URL(location).params
        asked = {"trouble": query.get("trouble", ""), "by": query.get("by", "")}
        return str((await self.http.get("/api/auth/ways", params=asked)).json()["trouble"])


NewTab = Callable[[], Awaitable[Tab]]


@pytest.fixture
async def new_tab(
    product: Workerless,
    identity_server: IdentityServer,
    github_server: GitHubServer,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[NewTab]:
    """Open browsers of different people, none of whom is signed in here."""
    for name, value in {
        "GITHUB_URL": identity_server.url,
        "GITHUB_API_URL": github_server.url,
        "GITHUB_CLIENT_ID": CLIENT_ID,
        "GITHUB_CLIENT_SECRET": CLIENT_SECRET,
        "OIDC_ISSUER": identity_server.url + identity.OIDC,
        "OIDC_CLIENT_ID": CLIENT_ID,
        "OIDC_CLIENT_SECRET": CLIENT_SECRET,
        "OIDC_NAME": "Acme",
        "ALLOW_LOCAL_REMOTES": "true",
    }.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    product._settings = get_settings()
    identity_server.redirect_uris = {f"{PUBLIC_URL}/api/auth/{name}/callback" for name in ("github", "oidc")}
    github_server.accounts = identity_server.tokens
    tabs: list[Tab] = []

    async def make() -> Tab:
        transport = httpx.ASGITransport(create_api(), raise_app_exceptions=False)
        tabs.append(Tab(httpx.AsyncClient(transport=transport, base_url=PUBLIC_URL), identity_server))
        return tabs[-1]

    yield make
    for tab in tabs:
        await tab.http.aclose()
        await tab.outside.aclose()


@pytest.fixture
async def tab(new_tab: NewTab) -> Tab:
    return await new_tab()


GITHUB, OIDC = "/api/auth/github", "/api/auth/oidc"
NEXT = {"next": "/settings"}
BOTH = pytest.mark.parametrize("start", [GITHUB, OIDC])


async def register(tab: Tab, email: str = "grace@example.org") -> dict[str, Any]:
    body = {"name": "Grace", "email": email, "password": PASSWORD}
    answer = await tab.http.post("/api/auth/register", json=body, headers=OURS)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def rows() -> list[Identity]:
    async with db.transaction() as session:
        return list(await session.scalars(select(Identity)))


async def nobody(tab: Tab) -> bool:
    return (await tab.http.get("/api/auth/me")).status_code == 401
