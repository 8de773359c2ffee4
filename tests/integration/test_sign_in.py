"""Signing in with GitHub and with OpenID Connect, against servers that check what real ones check."""

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from openlinear import vault
from openlinear.services import sign_in
from openlinear.services.credentials import IDENTITY
from tests.support.identity import CLIENT_SECRET, IdentityServer
from tests.support.product import PUBLIC_URL
from tests.support.sign_in import BOTH, GITHUB, OIDC, OURS, NewTab, Tab, nobody, rows


@BOTH
async def test_who_signs_in_has_an_account_and_a_cookie(tab: Tab, start: str) -> None:
    came_back = await tab.consent(await tab.go_out(f"{start}?next=/teams"))
    answer = await tab.http.get(came_back)
    assert (answer.status_code, answer.headers["location"]) == (303, "/teams")
    session, flow = answer.headers.get_list("set-cookie")
    token = session.partition("=")[2].partition(";")[0]
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(session.split("; "))
    assert flow.startswith('openlinear_sign_in=""') and token not in answer.headers["location"]
    me = await tab.me()
    assert (me["name"], me["email"], me["username"]) == ("Grace Hopper", "grace@example.org", "grace-hopper")
    assert me["githubId"] == (4711 if start == GITHUB else None)
    [row] = await rows()
    assert row.login == "grace" and row.subject == ("4711" if start == GITHUB else "user-4711")


async def test_the_request_to_the_provider_is_bound_to_this_browser(tab: Tab) -> None:
    answer = await tab.http.get(GITHUB)
    [cookie] = answer.headers.get_list("set-cookie")
    assert {"HttpOnly", "SameSite=lax", "Path=/api/auth", "Max-Age=600"} <= set(cookie.split("; "))
    asked = parse_qs(urlsplit(answer.headers["location"]).query)
    assert asked["scope"] == ["read:user user:email repo"]
    assert asked["code_challenge_method"] == ["S256"]
    for secret in (*asked["state"], CLIENT_SECRET):
        assert secret not in cookie


@BOTH
async def test_the_second_time_it_is_the_same_person(
    new_tab: NewTab, identity_server: IdentityServer, start: str
) -> None:
    first, second = await new_tab(), await new_tab()
    await first.sign_in(start)
    identity_server.person.login = "renamed"
    identity_server.person.emails = [("elsewhere@example.org", True, True)]
    assert await second.sign_in(start) == "/"
    assert (await second.me())["id"] == (await first.me())["id"]
    [row] = await rows()
    assert row.login == "renamed"


async def test_the_token_is_sealed_and_nothing_tells_it(tab: Tab, identity_server: IdentityServer) -> None:
    await tab.sign_in()
    [token] = identity_server.tokens
    [row] = await rows()
    assert row.token_secret is not None and token not in row.token_secret
    assert token in vault.unseal(IDENTITY, row.token_secret)
    assert row.scopes == ["read:user", "repo", "user:email"]
    told = await tab.http.get("/api/auth/identities")
    assert token not in told.text and "grace" in told.text


async def test_a_token_that_is_of_no_use_is_not_kept(tab: Tab) -> None:
    await tab.sign_in(OIDC)
    [row] = await rows()
    assert row.token_secret is None


@BOTH
async def test_a_wrong_state_signs_nobody_in(tab: Tab, start: str) -> None:
    came_back = await tab.consent(await tab.go_out(start))
    state = parse_qs(urlsplit(came_back).query)["state"][0]
    for wrong in (came_back.replace(state, "x" * len(state)), came_back.replace(f"state={state}", "a=b")):
        ended = await tab.back(wrong)
        assert ended.startswith("/login?trouble=expired") and await nobody(tab)
        assert "Begin it again" in await tab.why(ended)
    assert await rows() == []


@BOTH
async def test_what_came_back_once_counts_once(
    new_tab: NewTab, identity_server: IdentityServer, start: str
) -> None:
    tab = await new_tab()
    came_back = await tab.consent(await tab.go_out(start))
    cookie = tab.http.cookies["openlinear_sign_in"]
    answers = await asyncio.gather(*(tab.http.get(came_back) for _ in range(3)))
    ended = sorted(answer.headers["location"] for answer in answers)
    assert ended[0] == "/" and all("trouble=expired" in one for one in ended[1:])
    thief = await new_tab()
    thief.http.cookies.set("openlinear_sign_in", cookie, path="/api/auth")
    assert "trouble=expired" in await thief.back(came_back) and await nobody(thief)
    redeemed = [one for one in identity_server.requests if one[0] == "POST" and "token" in one[1]]
    assert len(redeemed) == 1


async def test_our_own_pages_begin_with_the_invitation_in_no_address(
    tab: Tab,
) -> None:
    sent = await tab.http.post(GITHUB, json={"next": "/teams", "invitation": "secret-link"}, headers=OURS)
    assert sent.status_code == 200 and "secret-link" not in sent.text + str(sent.headers)
    assert await tab.back(await tab.consent(await tab.ask(sent.json()["url"]))) == "/teams"
    evil = {"Origin": "https://evil.example"}
    assert (await tab.http.post(GITHUB, json={}, headers=evil)).status_code == 403


@BOTH
async def test_another_browser_gets_nothing_of_it(new_tab: NewTab, start: str) -> None:
    mine, theirs = await new_tab(), await new_tab()
    came_back = await mine.consent(await mine.go_out(start))
    assert "trouble=expired" in await theirs.back(came_back)
    await theirs.go_out(start)
    assert "trouble=expired" in await theirs.back(came_back)
    assert await nobody(theirs) and await rows() == []


async def test_one_providers_answer_does_not_count_for_the_other(tab: Tab) -> None:
    came_back = await tab.consent(await tab.go_out(GITHUB))
    assert "trouble=expired" in await tab.back(came_back.replace(GITHUB, OIDC))
    assert await nobody(tab)


@BOTH
async def test_without_the_verifier_the_provider_gives_nothing(
    tab: Tab, start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    came_back = await tab.consent(await tab.go_out(start))
    opened = sign_in._opened

    def another_verifier(sealed: str | None) -> Any:
        flow = opened(sealed)
        assert flow is not None
        object.__setattr__(flow.challenge, "verifier", "v" * 64)
        return flow

    monkeypatch.setattr(sign_in, "_opened", another_verifier)
    ended = await tab.back(came_back)
    assert "trouble=refused" in ended and await nobody(tab)
    assert "client id" in await tab.why(ended)


async def test_too_late_is_too_late(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in, "SECONDS", -1)
    assert "trouble=expired" in await tab.sign_in()
    assert await nobody(tab)


@BOTH
async def test_who_declines_is_told_how_to_go_on(tab: Tab, start: str) -> None:
    ended = await tab.sign_in(start, answer="no")
    assert ended.startswith("/login?trouble=denied") and await nobody(tab)
    name = "GitHub" if start == GITHUB else "Acme"
    assert f"declined at {name}" in await tab.why(ended)


async def test_the_way_back_leads_to_our_own_pages_alone(tab: Tab) -> None:
    evil = "evil.example"
    for wanted in (
        f"https://{evil}",
        f"//{evil}",
        f"/\\{evil}",
        "/a\r\nX: y",
        "javascript:x",
        "é",
        "/" * 501,
    ):
        start = str(httpx.URL(GITHUB, params={"next": wanted}))
        assert (wanted, await tab.sign_in(start)) == (wanted, "/")


async def test_the_cookies_are_secure_behind_https(
    tab: Tab, identity_server: IdentityServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from openlinear.settings import get_settings

    monkeypatch.setenv("PUBLIC_URL", PUBLIC_URL.replace("http:", "https:"))
    get_settings.cache_clear()
    [cookie] = (await tab.http.get(GITHUB)).headers.get_list("set-cookie")
    assert "Secure" in cookie.split("; ")
