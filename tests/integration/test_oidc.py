"""What a provider may say, and what is taken for it."""

from typing import Any

import pytest
from joserfc.jwk import RSAKey

from tests.support.identity import IdentityServer
from tests.support.sign_in import BOTH, GITHUB, OIDC, Tab, nobody


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
