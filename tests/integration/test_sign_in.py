"""Signing in with GitHub and with OpenID Connect, against servers that check what real ones check."""

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc.jwk import RSAKey
from sqlalchemy import select, update

from openlinear import db, vault
from openlinear.models import Identity, User
from openlinear.models.columns import now
from openlinear.services import registration, sign_in
from openlinear.services.credentials import IDENTITY
from tests.support.identity import CLIENT_SECRET, Account, IdentityServer
from tests.support.product import PASSWORD, PUBLIC_URL
from tests.support.sign_in import OURS, NewTab, Tab

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


@BOTH
async def test_who_signs_in_has_an_account_and_a_cookie(tab: Tab, start: str) -> None:
    came_back = await tab.consent(await tab.go_out(f"{start}?next=/teams"))
    answer = await tab.http.get(came_back)
    assert (answer.status_code, answer.headers["location"]) == (303, "/teams")
    assert answer.headers["referrer-policy"] == "no-referrer"
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


async def test_an_id_token_is_for_us_now_and_from_the_issuer(
    tab: Tab, identity_server: IdentityServer
) -> None:
    wrong: tuple[dict[str, Any], ...] = (
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "somebody-else"},
        {"aud": ["openlinear-test", "somebody-else"]},
        {"azp": "somebody-else"},
        {"iss": "https://evil.example"},
        {"exp": 1_000_000_000},
        {"exp": None},
        {"sub": None},
    )
    for claims in wrong:
        identity_server.claims = claims
        ended = await tab.sign_in(OIDC)
        assert "trouble=answer" in ended and await nobody(tab), claims
        assert "cannot be trusted" in await tab.why(ended)
    identity_server.claims = {"aud": ["openlinear-test", "somebody-else"], "azp": "openlinear-test"}
    assert await tab.sign_in(OIDC) == "/"


async def test_an_id_token_that_another_key_signed_is_refused(
    tab: Tab, identity_server: IdentityServer
) -> None:
    identity_server.signed_by = RSAKey.generate_key(2048, {"kid": "one"})
    assert "trouble=answer" in await tab.sign_in(OIDC)
    assert await nobody(tab)


async def test_what_the_id_token_leaves_out_is_asked_for(tab: Tab, identity_server: IdentityServer) -> None:
    identity_server.claims = {"email": None, "email_verified": None, "name": None}
    assert await tab.sign_in(OIDC) == "/"
    assert (await tab.me())["email"] == "grace@example.org"


@BOTH
async def test_a_provider_that_is_away_is_named(
    tab: Tab, identity_server: IdentityServer, start: str
) -> None:
    came_back = await tab.consent(await tab.go_out(start))
    identity_server.fault = 503
    ended = await tab.back(came_back)
    assert "trouble=away" in ended and "cannot be reached" in await tab.why(ended)


async def test_what_is_not_set_up_is_not_offered(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    offered = (await tab.http.get("/api/auth/ways")).json()
    assert [one["name"] for one in offered["items"]] == ["GitHub", "Acme"] and offered["trouble"] == ""
    from openlinear.settings import get_settings

    monkeypatch.delenv("GITHUB_CLIENT_SECRET")
    monkeypatch.delenv("OIDC_ISSUER")
    get_settings.cache_clear()
    assert (await tab.http.get("/api/auth/ways")).json()["items"] == []
    for path in (GITHUB, OIDC, f"{GITHUB}/callback", f"{OIDC}/callback"):
        assert (await tab.http.get(path)).status_code == 404


async def test_the_cookies_are_secure_behind_https(
    tab: Tab, identity_server: IdentityServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from openlinear.settings import get_settings

    monkeypatch.setenv("PUBLIC_URL", PUBLIC_URL.replace("http:", "https:"))
    get_settings.cache_clear()
    [cookie] = (await tab.http.get(GITHUB)).headers.get_list("set-cookie")
    assert "Secure" in cookie.split("; ")


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
