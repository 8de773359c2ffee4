"""Whose account a sign-in elsewhere is: new ones, connected ones, and none that is another's."""

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import delete, update

from openlinear import db
from openlinear.models import Identity, User
from openlinear.models.columns import now
from openlinear.services import logins, registration, resets
from tests.support.identity import Account, IdentityServer
from tests.support.people import waiting
from tests.support.product import PASSWORD
from tests.support.sign_in import BOTH, GITHUB, NEXT, OURS, NewTab, Tab, nobody, register, rows


@BOTH
@pytest.mark.parametrize(
    "emails", [[("grace@example.org", True, False)], [("grace@example.org", False, False)]]
)
async def test_an_unverified_email_makes_no_account(
    tab: Tab, identity_server: IdentityServer, start: str, emails: list[tuple[str, bool, bool]]
) -> None:
    identity_server.person.emails = emails
    ended = await tab.sign_in(start)
    assert "trouble=email" in ended and "Verify one there" in await tab.why(ended)
    assert await nobody(tab) and await rows() == []


@BOTH
async def test_an_email_takes_no_account_over(new_tab: NewTab, start: str) -> None:
    owner, stranger = await new_tab(), await new_tab()
    account = (await register(owner, "GRACE@example.org"))["user"]
    ended = await stranger.sign_in(start)
    assert "trouble=exists" in ended and await nobody(stranger)
    assert "Log in with your password" in await stranger.why(ended)
    assert await rows() == []
    assert (await owner.me())["id"] == account["id"]


@BOTH
async def test_whoever_is_logged_in_connects_their_account(new_tab: NewTab, start: str) -> None:
    tab, later = await new_tab(), await new_tab()
    account = (await register(tab, "work@example.com"))["user"]
    provider = start.rpartition("/")[2]
    assert await tab.connect(provider) == "/settings"
    assert await later.sign_in(start) == "/"
    assert (await later.me())["id"] == account["id"]
    assert (await tab.me())["githubId"] == (4711 if start == GITHUB else None)
    assert await tab.connect(provider) == "/settings"
    assert len(await rows()) == 1


async def test_connecting_takes_a_login_and_our_own_page(tab: Tab) -> None:
    answer = await tab.http.post("/api/auth/identities/github", json={}, headers=OURS)
    assert answer.status_code == 401
    await register(tab)
    path = "/api/auth/identities/github"
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert (await tab.http.post(path, json={}, headers=headers)).status_code == 403
    assert (await tab.http.get("/api/auth/identities/github")).status_code == 405


async def test_connecting_ends_with_the_login_that_began_it(new_tab: NewTab) -> None:
    tab = await new_tab()
    await register(tab, "work@example.com")
    begun = await tab.http.post("/api/auth/identities/github", json=NEXT, headers=OURS)
    came_back = await tab.consent(await tab.ask(begun.json()["url"]))
    await tab.http.post("/api/auth/logout", headers=OURS)
    body = {"email": "work@example.com", "password": PASSWORD}
    assert (await tab.http.post("/api/auth/login", json=body, headers=OURS)).status_code == 200
    ended = await tab.back(came_back)
    assert ended == "/settings?trouble=signed_out&by=github"
    assert "Log in first" in await tab.why(ended) and await rows() == []


async def test_a_login_that_ends_while_it_connects_connects_nothing(tab: Tab) -> None:
    """The provider takes its time: what was right before is asked again."""
    user_id = UUID((await register(tab, "work@example.com"))["user"]["id"])
    begun = await tab.http.post("/api/auth/identities/github", json=NEXT, headers=OURS)
    came_back = await tab.consent(await tab.ask(begun.json()["url"]))
    async with db.transaction() as ending:
        await ending.get_one(User, user_id, with_for_update=True)
        late = asyncio.create_task(tab.back(came_back))
        await waiting(ending)
        await logins.end_all(ending, user_id)
    assert await late == "/settings?trouble=signed_out&by=github"
    assert await rows() == []


async def test_who_comes_in_while_their_way_is_forgotten_begins_again(tab: Tab) -> None:
    await tab.sign_in()
    user_id = UUID(str((await tab.me())["id"]))
    came_back = await tab.consent(await tab.go_out(GITHUB))
    async with db.transaction() as forgetting:
        await forgetting.get_one(User, user_id, with_for_update=True)
        late = asyncio.create_task(tab.back(came_back))
        await waiting(forgetting)
        await forgetting.execute(delete(Identity))
    assert "trouble=expired" in await late


async def test_a_reset_disconnects_what_somebody_connected(new_tab: NewTab) -> None:
    """Whoever had the account of this email first is no longer let in by an account of their own."""
    first, later = await new_tab(), await new_tab()
    account = (await register(first, "victim@example.com"))["user"]
    await first.connect()
    await first.connect("oidc")
    async with db.transaction() as session:
        token = (await resets.link(session, "victim@example.com")).rpartition("#")[2]
    body = {"token": token, "newPassword": "a quite new password"}
    assert (await later.http.post("/api/auth/reset", json=body, headers=OURS)).status_code == 204
    assert await rows() == [] and await nobody(first)
    await first.sign_in()
    assert (await first.me())["id"] != account["id"]
    async with db.transaction() as session:
        assert (await session.get_one(User, UUID(account["id"]))).github_id is None


@pytest.mark.usefixtures("one_connection")
@BOTH
async def test_one_connection_is_enough_to_make_an_account(tab: Tab, start: str) -> None:
    async with asyncio.timeout(10):
        assert await tab.sign_in(start) == "/"


async def test_an_identity_is_one_persons(new_tab: NewTab, identity_server: IdentityServer) -> None:
    first, second = await new_tab(), await new_tab()
    await first.sign_in()
    await register(second, "work@example.com")
    assert "trouble=taken" in await second.connect()
    identity_server.person = Account(id=9, login="other", emails=[("o@example.org", True, True)])
    assert await second.connect() == "/settings"
    identity_server.person = Account(id=10, login="third")
    assert "trouble=other" in await second.connect()
    assert sorted(row.login for row in await rows()) == ["grace", "other"]


async def test_the_last_way_in_stays(tab: Tab) -> None:
    await tab.sign_in()
    refused = await tab.http.delete("/api/auth/identities/github", headers=OURS)
    assert refused.status_code == 409 and "only way into your account" in refused.json()["detail"]
    await tab.connect("oidc")
    both = await asyncio.gather(
        *(tab.http.delete(f"/api/auth/identities/{one}", headers=OURS) for one in ("github", "oidc"))
    )
    assert sorted(answer.status_code for answer in both) == [204, 409]
    assert len(await rows()) == 1


async def test_what_is_disconnected_is_forgotten(tab: Tab) -> None:
    await register(tab, "work@example.com")
    await tab.connect()
    assert (await tab.http.delete("/api/auth/identities/github", headers=OURS)).status_code == 204
    assert await rows() == [] and (await tab.me())["githubId"] is None
    assert (await tab.http.delete("/api/auth/identities/github", headers=OURS)).status_code == 404
    items = (await tab.http.get("/api/auth/identities")).json()["items"]
    assert [(one["provider"], one["login"]) for one in items] == [("github", None), ("oidc", None)]


@BOTH
async def test_a_new_account_keeps_to_the_rule_of_registration(
    new_tab: NewTab, monkeypatch: pytest.MonkeyPatch, identity_server: IdentityServer, start: str
) -> None:
    from openlinear.settings import get_settings

    known, stranger = await new_tab(), await new_tab()
    await known.sign_in(start)
    monkeypatch.setenv("REGISTRATION", "invitation")
    get_settings.cache_clear()
    identity_server.person = Account(id=9, login="new", emails=[("new@example.org", True, True)])
    ended = await stranger.sign_in(start)
    assert "trouble=closed" in ended and "needs an invitation" in await stranger.why(ended)
    assert await nobody(stranger) and len(await rows()) == 1
    async with db.transaction() as session:
        invitation = (await registration.invite(session, None)).rpartition("#")[2]
    body = {"invitation": invitation}
    for expected in ("/", "/login?trouble=closed"):
        sent = await stranger.http.post(start, json=body, headers=OURS)
        ended = await stranger.back(await stranger.consent(await stranger.ask(sent.json()["url"])))
        assert ended.startswith(expected)
        identity_server.person = Account(id=10, login="newer", emails=[("newer@example.org", True, True)])
    monkeypatch.setenv("REGISTRATION", "closed")
    get_settings.cache_clear()
    identity_server.person = Account()
    assert await known.sign_in(start) == "/"


async def test_a_disabled_account_stays_out(tab: Tab) -> None:
    await tab.sign_in()
    async with db.transaction() as session:
        await session.execute(update(User).values(disabled_at=now()))
    ended = await tab.sign_in()
    assert "trouble=disabled" in ended and "Ask an administrator" in await tab.why(ended)
    assert await nobody(tab)


async def test_an_access_token_changes_no_way_in(tab: Tab) -> None:
    await register(tab, "work@example.com")
    await tab.connect()
    new = {"name": "Script", "scope": "write", "days": 7}
    made = await tab.http.post("/api/account/tokens", json=new, headers=OURS)
    assert made.status_code == 201, made.text
    bearer = {"Authorization": f"Bearer {made.json()['token']}"}
    assert (await tab.http.get("/api/auth/identities", headers=bearer)).status_code == 200
    path = "/api/auth/identities/github"
    assert (await tab.http.post(path, json={}, headers=bearer)).status_code == 403
    assert (await tab.http.delete(path, headers=bearer)).status_code == 403
    assert len(await rows()) == 1
