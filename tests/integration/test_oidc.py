"""What a provider may say, and what is taken for it."""

import ssl
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from openlinear.outside import http, receiver
from openlinear.settings import get_settings
from tests.support.identity import IdentityServer
from tests.support.sign_in import BOTH, GITHUB, OIDC, NewTab, Tab, nobody


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


async def test_whether_an_email_is_verified_is_asked_for_too(
    new_tab: NewTab, identity_server: IdentityServer
) -> None:
    identity_server.claims = {"email_verified": None}
    for said in (False, None, "false", 1):
        identity_server.userinfo = {"email_verified": said}
        assert "trouble=email" in await (await new_tab()).sign_in(OIDC), said
    identity_server.userinfo = {"email_verified": True, "email": "another@example.org"}
    assert "trouble=email" in await (await new_tab()).sign_in(OIDC)
    identity_server.userinfo = {"email_verified": True, "sub": "somebody-else"}
    assert "trouble=answer" in await (await new_tab()).sign_in(OIDC)
    identity_server.userinfo = {"email_verified": "true"}
    assert await (await new_tab()).sign_in(OIDC) == "/"


async def test_an_operator_may_trust_the_emails_of_a_provider_that_says_nothing_of_them(
    tab: Tab,
    identity_server: IdentityServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    identity_server.claims = identity_server.userinfo = {"email_verified": None}
    assert "trouble=email" in await tab.sign_in(OIDC)
    assert "OIDC_TRUST_EMAIL" in caplog.text and "grace@" not in caplog.text
    monkeypatch.setenv("OIDC_TRUST_EMAIL", "true")
    get_settings.cache_clear()
    assert await tab.sign_in(OIDC) == "/"
    assert (await tab.me())["email"] == "grace@example.org"


async def test_the_authorities_are_read_once(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    """That takes 20 ms, in which this process does nothing else."""
    http.tls()

    def read_again(**_: object) -> ssl.SSLContext:
        raise AssertionError("the authorities were read again")

    monkeypatch.setattr(ssl, "create_default_context", read_again)
    assert await tab.sign_in(OIDC) == "/"
    sent = await receiver.send("http://127.0.0.1:1/", b"", {}, allow_local=True)
    assert sent.error == "It does not take connections."


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
    monkeypatch.delenv("GITHUB_CLIENT_SECRET")
    monkeypatch.delenv("OIDC_ISSUER")
    get_settings.cache_clear()
    assert (await tab.http.get("/api/auth/ways")).json()["items"] == []
    for path in (GITHUB, OIDC, f"{GITHUB}/callback", f"{OIDC}/callback"):
        assert (await tab.http.get(path)).status_code == 404
