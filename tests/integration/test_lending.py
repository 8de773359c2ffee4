"""Which credential a project without one of its own is reached with, and one's repositories at GitHub."""

import asyncio
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import select, update

from engine.errors import RunError
from engine.git.command import GitError
from engine.git.failures import explain
from engine.git.remote import parse
from openlinear import db
from openlinear.adapters import OpenLinear
from openlinear.lending import credential_for
from openlinear.models import Identity, User
from openlinear.models.columns import now
from openlinear.outside.provider import Grant
from openlinear.services import github, projects
from openlinear.services.github import ours
from openlinear.services.views import Actor
from openlinear.settings import get_settings
from tests.support.github import GitHubServer
from tests.support.identity import Account, IdentityServer, Repository
from tests.support.product import MakeActor
from tests.support.sign_in import NewTab, Tab


@pytest.fixture
async def grace(tab: Tab, identity_server: IdentityServer) -> UUID:
    """Somebody who signed in with GitHub, and may write to one repository of two."""
    here = identity_server.url
    identity_server.person.repositories = [
        Repository("acme/shop", f"{here}/acme/shop.git"),
        Repository("acme/read", f"{here}/acme/read.git", push=False),
    ]
    await tab.sign_in()
    return UUID(str((await tab.me())["id"]))


@pytest.fixture
def shop(identity_server: IdentityServer) -> str:
    return f"{identity_server.url}/acme/shop.git"


@pytest.fixture
def app(grace: UUID, github_server: GitHubServer, monkeypatch: pytest.MonkeyPatch) -> GitHubServer:
    """The app, set up here and installed for both repositories."""
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    github_server.app_id, github_server.app_key = "12345", public.decode()
    github_server.installed = {"acme/shop", "acme/read"}
    monkeypatch.setenv("GITHUB_APP_ID", "12345")
    monkeypatch.setenv("GITHUB_APP_PRIVATE_KEY", pem.replace("\n", "\\n"))
    get_settings.cache_clear()
    return github_server


async def expire(user: UUID) -> None:
    async with db.transaction() as session:
        await session.execute(update(Identity).where(Identity.user_id == user).values(token_expires_at=now()))


async def test_the_users_own_token_reaches_their_repository(
    grace: UUID, shop: str, identity_server: IdentityServer, make_actor: MakeActor
) -> None:
    lent = await credential_for(shop, grace)
    assert lent is not None and identity_server.tokens[lent.password].login == "grace"
    assert lent.password not in repr(lent)
    assert await credential_for(shop, (await make_actor("Bo")).id) is None


@pytest.mark.parametrize(
    ("url", "allowed", "given"),
    [
        ("https://github.com/acme/shop.git", "false", True),
        ("https://GITHUB.com:443/acme/shop.git", "false", True),
        ("http://github.com/acme/shop.git", "true", False),
        ("https://github.com:8443/acme/shop.git", "true", False),
        ("https://api.github.com/acme/shop.git", "true", False),
        ("https://github.com.evil.example/acme/shop.git", "true", False),
        ("https://github.com@evil.example/acme/shop.git", "true", False),
        ("https://evil.example/github.com/shop.git", "true", False),
        ("demo:5b1e7c1e-6b0f-4b8e-9a55-0d5a0d2f6b7a", "true", False),
    ],
)
async def test_the_token_goes_to_the_exact_host_alone(
    grace: UUID, monkeypatch: pytest.MonkeyPatch, url: str, allowed: str, given: bool
) -> None:
    monkeypatch.setenv("GITHUB_URL", "https://github.com")
    monkeypatch.setenv("ALLOW_LOCAL_REMOTES", allowed)
    monkeypatch.delenv("OIDC_ISSUER")
    get_settings.cache_clear()
    async with db.transaction() as session:
        await session.execute(update(Identity).values(issuer="https://github.com"))
    assert ours(url) is given
    assert (await credential_for(url, grace) is not None) is given


async def test_over_http_only_where_local_remotes_are_allowed(
    grace: UUID, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLOW_LOCAL_REMOTES", "false")
    monkeypatch.delenv("OIDC_ISSUER")
    get_settings.cache_clear()
    assert await credential_for(shop, grace) is None


async def test_a_token_of_another_github_is_not_lent(grace: UUID, shop: str) -> None:
    async with db.transaction() as session:
        await session.execute(update(Identity).values(issuer="https://github.com"))
    assert await credential_for(shop, grace) is None


async def test_the_projects_own_credential_comes_first(grace: UUID, shop: str) -> None:
    async with db.transaction() as session:
        user = await session.get_one(User, grace)
    actor = Actor(user.id, user.name, user.username, user.email, user.id)
    with_one = projects.ProjectInput("One", shop, remote_username="u", remote_password="its own")
    without = projects.ProjectInput("Other", shop)
    product = OpenLinear()
    made = await projects.create_project(actor, with_one)
    assert (await product.remote(made.id, grace)).credential.password == "its own"  # type: ignore[union-attr]
    made = await projects.create_project(actor, without)
    assert (await product.remote(made.id, grace)).credential.password.startswith("gho_")  # type: ignore[union-attr]


async def test_a_token_that_ends_is_renewed_once(
    new_tab: NewTab, shop: str, identity_server: IdentityServer
) -> None:
    identity_server.expires_in = 3600
    tab = await new_tab()
    await tab.sign_in()
    user = UUID(str((await tab.me())["id"]))
    first = await credential_for(shop, user)
    assert first == await credential_for(shop, user)
    await expire(user)
    second = await credential_for(shop, user)
    assert first is not None and second is not None and first.password != second.password
    assert second == await credential_for(shop, user)
    await expire(user)
    identity_server.refresh_tokens.clear()
    with pytest.raises(RunError, match="Sign in with GitHub again") as caught:
        await credential_for(shop, user)
    assert caught.value.kind == "authentication"


async def test_who_waits_for_a_renewed_token_holds_no_connection(
    new_tab: NewTab, identity_server: IdentityServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity_server.expires_in = 3600
    tab = await new_tab()
    await tab.sign_in()
    user = UUID(str((await tab.me())["id"]))
    begun, go_on = asyncio.Event(), asyncio.Event()
    refresh = github.GitHub.refresh

    async def slowly(self: github.GitHub, token: str) -> Grant:
        begun.set()
        await go_on.wait()
        return await refresh(self, token)

    monkeypatch.setattr(github.GitHub, "refresh", slowly)
    monkeypatch.setattr(github, "PAUSE", 0.01)
    await expire(user)
    first = asyncio.create_task(github.token_of(user))
    await begun.wait()
    with monkeypatch.context() as hurry:
        hurry.setattr(github, "LOOKS", 2)
        async with asyncio.timeout(10):
            others = await asyncio.gather(*(github.token_of(user) for _ in range(40)), return_exceptions=True)
    assert {str(one) for one in others} == {github.AWAY}
    assert db.engine().pool.checkedout() == 1  # type: ignore[attr-defined]
    waiting = [asyncio.create_task(github.token_of(user)) for _ in range(5)]
    go_on.set()
    assert {await first, *await asyncio.gather(*waiting)} == {await first}


async def test_a_token_that_was_revoked_says_what_to_do(
    grace: UUID, shop: str, tab: Tab, identity_server: IdentityServer
) -> None:
    lent = await credential_for(shop, grace)
    identity_server.tokens.clear()
    refused = explain(GitError(128, "Authentication failed"), parse(shop, allow_local=True), lent)
    assert refused.reason.endswith("Sign in with GitHub again.")
    answer = await tab.http.get("/api/repos/github")
    assert answer.status_code == 409 and "Sign in with GitHub again" in answer.json()["detail"]
    await tab.sign_in()
    assert (await tab.http.get("/api/repos/github")).status_code == 200


async def test_the_app_is_preferred_where_its_user_may_write(
    grace: UUID, shop: str, app: GitHubServer
) -> None:
    lent = await credential_for(shop, grace)
    assert lent is not None
    assert app.minted[lent.password] == {
        "repositories": ["shop"],
        "permissions": {"contents": "write", "metadata": "read", "pull_requests": "write"},
    }
    async with db.transaction() as session:
        row = await session.scalar(select(Identity))
    assert row is not None and lent.password not in str(row)


async def test_the_app_lends_nobody_more_than_they_may(
    grace: UUID, shop: str, app: GitHubServer, identity_server: IdentityServer, make_actor: MakeActor
) -> None:
    own = next(iter(identity_server.tokens))
    for url in (shop.replace("shop", "read"), shop.replace("acme/shop", "other/hidden"), f"{shop}/more"):
        lent = await credential_for(url, grace)
        assert lent is not None and lent.password == own
    assert await credential_for(shop, (await make_actor("Bo")).id) is None
    app.installed.clear()
    lent = await credential_for(shop, grace)
    assert lent is not None and lent.password == own
    assert app.minted == {}
    identity_server.tokens.clear()
    with pytest.raises(RunError, match="Sign in with GitHub again"):
        await credential_for(shop, grace)


@pytest.mark.parametrize("wrong", ["no key at all", ""])
async def test_an_app_that_is_set_up_wrongly_stops_nobody(
    grace: UUID, shop: str, app: GitHubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wrong: str
) -> None:
    if wrong:
        monkeypatch.setenv("GITHUB_APP_PRIVATE_KEY", wrong)
    else:
        monkeypatch.setenv("GITHUB_APP_PRIVATE_KEY_FILE", str(tmp_path / "none.pem"))
    get_settings.cache_clear()
    lent = await credential_for(shop, grace)
    assert lent is not None and lent.password.startswith("gho_")


async def test_the_repositories_newest_push_first_and_in_pages(
    tab: Tab, grace: UUID, identity_server: IdentityServer
) -> None:
    identity_server.person.repositories = [
        Repository(f"acme/{'shop' if n % 50 == 0 else 'part'}-{n:03}", "https://x/y", pushed_at=None)
        for n in range(230)
    ]
    newest = Repository("acme/newest", "https://x/newest.git", push=False, private=False)
    identity_server.person.repositories.append(newest)
    page = (await tab.http.get("/api/repos/github?limit=200")).json()
    assert page["items"][0] == {
        "name": "newest",
        "fullName": "acme/newest",
        "private": False,
        "cloneUrl": "https://x/newest.git",
        "defaultBranch": "main",
        "pushedAt": "2026-01-01T00:00:00Z",
        "canPush": False,
    }
    rest = (await tab.http.get(f"/api/repos/github?cursor={page['nextCursor']}")).json()
    assert (len(page["items"]), len(rest["items"]), rest["nextCursor"]) == (200, 31, None)
    found, cursor = [], ""
    for _ in range(3):
        page = (await tab.http.get(f"/api/repos/github?q=SHOP&limit=2{cursor}")).json()
        found += [one["name"] for one in page["items"]]
        cursor = f"&cursor={page['nextCursor']}"
    assert found == [f"shop-{n:03}" for n in (0, 50, 100, 150, 200)] and page["nextCursor"] is None
    assert (await tab.http.get("/api/repos/github?cursor=x")).status_code == 422


async def test_without_github_the_list_says_what_to_do(tab: Tab, identity_server: IdentityServer) -> None:
    assert (await tab.http.get("/api/repos/github")).status_code == 401
    identity_server.person = Account()
    await tab.sign_in("/api/auth/oidc")
    answer = await tab.http.get("/api/repos/github")
    assert answer.status_code == 409 and "Connect GitHub" in answer.json()["detail"]


async def test_a_github_that_is_away_is_said(tab: Tab, grace: UUID, github_server: GitHubServer) -> None:
    github_server.fault = 502
    answer = await tab.http.get("/api/repos/github")
    assert answer.status_code == 503 and "cannot be reached" in answer.json()["detail"]
