"""Signing in to a model provider by its own page, and trying a model: by the user's own OpenCode."""

import asyncio
import json
import time
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Literal
from urllib.parse import parse_qs, quote, urlsplit

import httpx

from engine.agents.opencode_api import Server
from engine.agents.opencode_errors import failure
from engine.errors import RunError
from engine.ports import Box, ModelRef, Sandbox, SignIn

TRY_SECONDS = 20.0
_ACCOUNTS = """
import json, pathlib
path = pathlib.Path("~/.local/share/opencode/auth.json").expanduser()
entries = json.loads(path.read_text()) if path.exists() else {}
mine = {name: one for name, one in entries.items() if isinstance(one, dict) and one.get("type") == "oauth"}
print(json.dumps(mine))
"""
_TOKENS = ("access", "refresh")
_MORE = ("accountId",)
"""What an account has beside its tokens, with some providers."""
_TOKEN_CHARS = 16_384
_MORE_CHARS = 512
YEAR_MS = 366 * 24 * 3600 * 1000
"""No token is good for longer."""
_NOTHING = RunError("The provider did not let you in. Sign in again, with a fresh code.", "authentication")
_UNFINISHED = RunError(
    "Nobody has signed in on the provider's page yet. Sign in again: first on that page, then finish here.",
    "authentication",
)
_ELSEWHERE = RunError(
    "This way to sign in leads back to the machine that agents run on, which your browser does not reach. "
    "Choose another of the provider's ways, or enter a key.",
    "invalid_request",
)
_UNREACHED = RunError(
    "The provider did not answer, so nobody can sign in there now. Try again later.", "network"
)


async def sign_in_methods(server: Server, provider: str) -> list[str]:
    """What each of its ways to sign in is called; "" for those that take a key and not an account."""
    methods = (await server.get("/provider/auth") or {}).get(provider, [])
    return [str(one.get("label") or provider) if one.get("type") == "oauth" else "" for one in methods]


async def begin(server: Server, provider: str, method: int | None, inputs: Mapping[str, str]) -> SignIn:
    """Where the person has to go; without a `method`, by the first that works from here.

    RunError when the provider has no such way in.
    """
    labels = await sign_in_methods(server, provider)
    ways = [way for way, label in enumerate(labels) if label and method in (None, way)]
    if not ways:
        raise RunError("This provider has no account to sign in with here. Enter a key.", "invalid_request")
    # One that is for a browser on the agent's own machine need not be asked first.
    for way in sorted(ways, key=lambda one: "browser" in labels[one].lower()):
        found = await _authorized(server, provider, way, inputs)
        if not _comes_back_here(found.url):
            return found
    raise _ELSEWHERE


async def _authorized(server: Server, provider: str, way: int, inputs: Mapping[str, str]) -> SignIn:
    path = f"/provider/{quote(provider, safe='')}/oauth/authorize"
    try:
        told = await server.post(path, {"method": way, **({"inputs": dict(inputs)} if inputs else {})})
    except RunError as error:
        if "answered 4" in error.reason:
            raise RunError("The provider takes other inputs to sign in with.", "invalid_request") from error
        raise (_UNREACHED if "answered 5" in error.reason else error) from error
    url = str((told or {}).get("url", ""))
    if not url.startswith("https://"):
        raise RunError("The provider named no page to sign in on. Try again.", "invalid_request")
    kind: Literal["code", "auto"] = "code" if told["method"] == "code" else "auto"
    return SignIn(url, kind, str(told.get("instructions", "")), way)


def _comes_back_here(url: str) -> bool:
    """Whether the page sends the browser on to the agent's own machine, where nobody's browser is."""
    returns = parse_qs(urlsplit(url).query).get("redirect_uri", [""])[0]
    return (urlsplit(returns).hostname or "") in ("localhost", "127.0.0.1", "::1")


async def end(server: Server, provider: str, method: int, code: str) -> None:
    """Hand in the code. RunError when the provider refuses it."""
    path = f"/provider/{quote(provider, safe='')}/oauth/callback"
    try:
        if await server.post(path, {"method": method, **({"code": code} if code else {})}) is not True:
            raise _NOTHING
    except RunError as error:
        if isinstance(error.__cause__, httpx.TimeoutException):
            raise _UNFINISHED from error
        raise (_NOTHING if "answered 4" in error.reason else error) from error


async def accounts(sandbox: Sandbox, box: Box) -> dict[str, dict[str, Any]]:
    """The accounts in this user's sandbox as OpenCode keeps them, with tokens that it may have renewed.

    Agents can write there too: what does not look like an account is left out.
    """
    done = await sandbox.exec(box, ["python3", "-c", _ACCOUNTS], limit=1 << 20, timeout=15)
    try:
        found = json.loads(done.stdout)
    except (ValueError, RecursionError):
        return {}
    entries = found.items() if isinstance(found, dict) else ()
    return {name: account for name, entry in entries if (account := account_of(entry)) is not None}


def account_of(entry: Any) -> dict[str, Any] | None:
    """What is an account in it, and nothing else; None where it is none. `expires` is Unix time in ms."""
    if not isinstance(entry, dict) or entry.get("type") != "oauth":
        return None
    expires = entry.get("expires")
    if type(expires) is not int or not 0 <= expires <= time.time() * 1000 + YEAR_MS:
        return None
    if not all(_is_text(entry.get(name), _TOKEN_CHARS) for name in _TOKENS):
        return None
    more = {name: entry[name] for name in _MORE if _is_text(entry.get(name), _MORE_CHARS)}
    return {"type": "oauth", **{name: entry[name] for name in _TOKENS}, "expires": expires, **more}


def _is_text(value: Any, most: int) -> bool:
    return isinstance(value, str) and len(value) <= most and value.isascii() and value.isprintable()


async def try_model(box: Box, directory: PurePosixPath, model: ModelRef) -> None:
    """One tiny request by the user's own agent server. RunError says why it failed, for a person."""
    async with Server(box, directory) as server:
        session = (await server.post("/session", {"title": "Connection test"}))["id"]
        body = {
            "model": {"providerID": model.provider, "modelID": model.model},
            "parts": [{"type": "text", "text": "Answer with the word yes."}],
            "tools": {"*": False},
        }
        asked = asyncio.create_task(server.post(f"/session/{session}/message", body))
        try:
            answer = await _answer(server, session, asked, model.provider)
        finally:
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
            await server.delete(f"/session/{session}")
    error = ((answer or {}).get("info") or {}).get("error")
    if error:
        raise RunError(*failure(error, model.provider))


async def _answer(server: Server, session: str, asked: "asyncio.Task[Any]", provider: str) -> Any:
    """The answer, or a RunError as soon as OpenCode begins to try again: a person waits."""
    try:
        async with asyncio.timeout(TRY_SECONDS):
            while not asked.done():
                await asyncio.wait({asked}, timeout=0.25)
                state = (await server.get("/session/status") or {}).get(session) or {}
                if state.get("type") == "retry":
                    told = {"name": "APIError", "data": {"message": str(state.get("message", ""))}}
                    raise RunError(*failure(told, provider))
    except TimeoutError:
        reason = f"The model provider {provider} did not answer within {TRY_SECONDS:g} s."
        raise RunError(reason, "network") from None
    return asked.result()
