"""A stand-in for who people are elsewhere: GitHub's OAuth and an OpenID Connect provider, on one port.

It is strict where real ones are: client secret, exact callback address, S256 verifier, codes of one use.
ID tokens are signed by a real key, whose public half is served. `IdentityServer.person` is who is logged
in there; what it grants is in `tokens`, which the stand-ins of git and of GitHub's REST API share.
"""

import base64
import hashlib
import html
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

CLIENT_ID = "openlinear-test"
CLIENT_SECRET = "secret-of-the-client"
OIDC = "/oidc"
Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Repository:
    """One that an account has at GitHub."""

    full_name: str
    clone_url: str
    private: bool = True
    push: bool = True
    pushed_at: str | None = "2026-01-01T00:00:00Z"


@dataclass
class Account:
    """Somebody at the provider. `emails` are (address, primary, verified)."""

    id: int = 4711
    login: str = "grace"
    name: str | None = "Grace Hopper"
    emails: list[tuple[str, bool, bool]] = field(default_factory=lambda: [("grace@example.org", True, True)])
    repositories: list[Repository] = field(default_factory=list)


@dataclass
class IdentityServer:
    """`url` is where it answers: GITHUB_URL, and with `/oidc` behind it OIDC_ISSUER."""

    url: str
    person: Account = field(default_factory=Account)
    tokens: dict[str, Account] = field(default_factory=dict)
    """Whose each access token is; one that is removed is revoked."""
    refresh_tokens: dict[str, Account] = field(default_factory=dict)
    expires_in: int | None = None
    """Seconds that access tokens hold; None for ever."""
    pending: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    claims: dict[str, Any] = field(default_factory=dict)
    """What the next ID tokens say instead; a None leaves the claim out."""
    userinfo: dict[str, Any] = field(default_factory=dict)
    """The same of the userinfo endpoint."""
    signed_by: RSAKey | None = None
    """Another key than the one that is served."""
    fault: int | None = None
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}))
    redirect_uris: set[str] = field(default_factory=set)

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> Answer:
        parts = urlsplit(target)
        self.requests.append((method, target))
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        form = {key: values[0] for key, values in parse_qs(body.decode()).items()}
        if self.fault is not None:
            return self.fault, {}, b"A fault"
        route = (method, parts.path)
        if route in (("GET", "/login/oauth/authorize"), ("GET", f"{OIDC}/authorize")):
            return self._ask(query, oidc=parts.path.startswith(OIDC))
        if route == ("POST", "/login/oauth/consent"):
            return self._consent(form)
        if route in (("POST", "/login/oauth/access_token"), ("POST", f"{OIDC}/token")):
            return self._token(form, headers, oidc=parts.path.startswith(OIDC))
        if route == ("GET", f"{OIDC}/.well-known/openid-configuration"):
            return _json(200, self._discovery())
        if route == ("GET", f"{OIDC}/jwks"):
            return _json(200, KeySet([self.key]).as_dict(private=False))
        if route == ("GET", f"{OIDC}/userinfo"):
            account = self.tokens.get(headers.get("Authorization", "").removeprefix("Bearer "))
            if account is None:
                return _json(401, {})
            return _json(200, _without_none({**self._person_claims(account), **self.userinfo}))
        return 404, {}, b"Not found"

    def _ask(self, query: dict[str, str], *, oidc: bool) -> Answer:
        """The page that asks the person; a request that is not right never leads back."""
        wrong = [
            what
            for what, right in {
                "client_id": query.get("client_id") == CLIENT_ID,
                "redirect_uri": query.get("redirect_uri") in self.redirect_uris,
                "response_type": query.get("response_type") == "code",
                "state": len(query.get("state", "")) >= 32,
                "code_challenge": len(query.get("code_challenge", "")) == 43,
                "code_challenge_method": query.get("code_challenge_method") == "S256",
                "scope": query.get("scope")
                == ("openid email profile" if oidc else "read:user user:email repo"),
                "nonce": not oidc or len(query.get("nonce", "")) >= 32,
            }.items()
            if not right
        ]
        if wrong:
            return 400, {"Content-Type": "text/plain"}, f"Not right: {', '.join(wrong)}".encode()
        request = secrets.token_urlsafe(8)
        self.pending[request] = {**query, "oidc": oidc}
        page = (
            f"<h1>Authorize OpenLinear</h1><p>Signed in as {html.escape(self.person.login)}</p>"
            '<form method="post" action="/login/oauth/consent">'
            f'<input type="hidden" name="request" value="{request}">'
            '<button name="answer" value="yes">Authorize</button>'
            '<button name="answer" value="no">Cancel</button></form>'
        )
        return 200, {"Content-Type": "text/html; charset=utf-8"}, page.encode()

    def _consent(self, form: dict[str, str]) -> Answer:
        request = self.pending.pop(form["request"])
        told = {"state": request["state"]}
        if form["answer"] == "yes":
            code = secrets.token_urlsafe(12)
            self.pending[code] = {**request, "account": self.person}
            told["code"] = code
        else:
            told |= {"error": "access_denied", "error_description": "The user has denied your application"}
        return 302, {"Location": f"{request['redirect_uri']}?{urlencode(told)}"}, b""

    def _token(self, form: dict[str, str], headers: Any, *, oidc: bool) -> Answer:
        refused = 400 if oidc else 200  # GitHub's habit
        if _client(form, headers) != (CLIENT_ID, CLIENT_SECRET):
            said = "invalid_client" if oidc else "incorrect_client_credentials"
            return _json(401 if oidc else 200, {"error": said})
        if form.get("grant_type") == "refresh_token":
            account = self.refresh_tokens.pop(form.get("refresh_token", ""), None)
            if account is None:
                return _json(refused, {"error": "bad_refresh_token"})
            return _json(200, self._granted(account))
        request = self.pending.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            request is None
            or request["oidc"] != oidc
            or request["code_challenge"] != challenge
            or request["redirect_uri"] != form.get("redirect_uri")
        ):
            return _json(refused, {"error": "invalid_grant" if oidc else "bad_verification_code"})
        granted = self._granted(request["account"])
        if oidc:
            granted["id_token"] = self._id_token(request["account"], request["nonce"])
        return _json(200, granted)

    def _granted(self, account: Account) -> dict[str, Any]:
        token = "gho_" + secrets.token_hex(18)
        self.tokens[token] = account
        granted = {"access_token": token, "token_type": "bearer", "scope": "read:user,repo,user:email"}
        if self.expires_in is None:
            return granted
        refresh = "ghr_" + secrets.token_hex(18)
        self.refresh_tokens[refresh] = account
        return {**granted, "expires_in": self.expires_in, "refresh_token": refresh}

    def _discovery(self) -> dict[str, Any]:
        here = self.url + OIDC
        return {
            "issuer": here,
            "authorization_endpoint": f"{here}/authorize",
            "token_endpoint": f"{here}/token",
            "userinfo_endpoint": f"{here}/userinfo",
            "jwks_uri": f"{here}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def _person_claims(self, account: Account) -> dict[str, Any]:
        email, _, verified = account.emails[0]
        return {
            "sub": f"user-{account.id}",
            "name": account.name,
            "preferred_username": account.login,
            "email": email,
            "email_verified": verified,
        }

    def _id_token(self, account: Account, nonce: str) -> str:
        now = int(time.time())
        claims = {
            "iss": self.url + OIDC,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
            **self._person_claims(account),
            **self.claims,
        }
        header = {"alg": "RS256", "kid": "one"}
        return jwt.encode(header, _without_none(claims), self.signed_by or self.key)


def _without_none(claims: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in claims.items() if value is not None}


def _client(form: dict[str, str], headers: Any) -> tuple[str, str]:
    scheme, _, value = headers.get("Authorization", "").partition(" ")
    if scheme == "Basic":
        name, _, secret = base64.b64decode(value).decode().partition(":")
        return name, secret
    return form.get("client_id", ""), form.get("client_secret", "")


def _json(status: int, content: Any) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(content).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: IdentityServer

    def log_message(self, *_: object) -> None:
        """Quiet: `IdentityServer.requests` tells what came."""

    def handle(self) -> None:
        with suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def _serve(self, body: bytes) -> None:
        status, headers, content = self.hub.answer(self.command, self.path, self.headers, body)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def serve_identity() -> Iterator[IdentityServer]:
    """The stand-in on a free port of this machine, until the block ends."""
    hub = IdentityServer("")
    http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    http.daemon_threads = True
    hub.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


@pytest.fixture
def identity_server() -> Iterator[IdentityServer]:
    with serve_identity() as hub:
        yield hub
