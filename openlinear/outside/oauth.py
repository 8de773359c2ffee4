"""OAuth 2.0's authorization code with PKCE, by Authlib; the requests are our own, which are bounded."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.client import OAuth2Client

from openlinear.outside.http import Away, ask
from openlinear.outside.provider import Challenge, Grant, Trouble

log = logging.getLogger(__name__)
_CODE = re.compile(r"[a-z_]{1,40}|[45][0-9]{2}")


@dataclass(frozen=True, slots=True)
class Registration:
    """Our server, as a provider knows it."""

    client_id: str
    client_secret: str = field(repr=False)
    redirect_uri: str
    scope: str
    auth_method: str = "client_secret_post"


class _Client(OAuth2Client):  # type: ignore[misc]
    """Authlib's client, with our way to send: its own for httpx is of another library's make by now."""

    async def _fetch_token(self, url: str, body: str, headers: Any, auth: Any, method: str, **_: Any) -> Any:
        return await self._send(url, body, headers, auth)

    async def _refresh_token(
        self, url: str, refresh_token: str, body: str, headers: Any, auth: Any, **_: Any
    ) -> Any:
        return await self._send(url, body, headers, auth)

    async def _send(self, url: str, body: str, headers: Any, auth: Any) -> Any:
        url, headers, body = auth.prepare("POST", url, dict(headers), body)
        answer = await ask("POST", url, headers=headers, content=body)
        if not isinstance(answer.content, dict):
            raise Away(f"the token endpoint answered {answer.status} without JSON")
        if "error" in answer.content or answer.status != 200:  # GitHub says 200 to what it refuses
            raise OAuth2Error(error=str(answer.content.get("error", answer.status)))
        return answer.content


def authorize_url(us: Registration, endpoint: str, challenge: Challenge, **more: str) -> str:
    url, _ = _client(us).create_authorization_url(
        endpoint, state=challenge.state, code_verifier=challenge.verifier, **more
    )
    return str(url)


async def redeem(us: Registration, endpoint: str, code: str, challenge: Challenge) -> Grant:
    """The token for a code. Trouble says whether the provider refused or did not answer."""
    asked = _client(us).fetch_token(
        endpoint, code=code, code_verifier=challenge.verifier, redirect_uri=us.redirect_uri
    )
    return _grant(await _told(asked))


async def refresh(us: Registration, endpoint: str, refresh_token: str) -> Grant:
    """The next token. `refused` when this one has been used or revoked."""
    return _grant(await _told(_client(us).refresh_token(endpoint, refresh_token=refresh_token)))


def _client(us: Registration) -> _Client:
    return _Client(
        None,
        client_id=us.client_id,
        client_secret=us.client_secret,
        token_endpoint_auth_method=us.auth_method,
        scope=us.scope,
        redirect_uri=us.redirect_uri,
        code_challenge_method="S256",
    )


async def _told(asked: Any) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = await asked
    except OAuth2Error as error:
        told = error.error if _CODE.fullmatch(error.error) else "for no known reason"
        log.warning("A provider refused a token: %s", told)
        raise Trouble("refused") from None
    except Away as error:
        log.warning("A provider's token endpoint cannot be used: %s", error)
        raise Trouble("away") from None
    return found


def _grant(said: Mapping[str, Any]) -> Grant:
    token, lasts = said.get("access_token"), said.get("expires_in")
    if not isinstance(token, str) or not token or str(said.get("token_type", "")).lower() != "bearer":
        raise Trouble("answer")
    return Grant(
        access_token=token,
        refresh_token=_text(said.get("refresh_token")),
        expires_at=datetime.now(UTC) + timedelta(seconds=int(lasts)) if isinstance(lasts, int) else None,
        scopes=tuple(str(said.get("scope", "")).replace(",", " ").split()),
        id_token=_text(said.get("id_token")),
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
