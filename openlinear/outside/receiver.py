"""One message to a webhook's address: to a public address alone, bounded in time, following no redirect.

The name is resolved once, every address of it is checked, and the connection goes to what was checked:
a name server that answers otherwise a moment later changes nothing.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import httpx

from engine.errors import RunError
from engine.git.addresses import names_local, normalise, resolve
from openlinear.outside.http import tls

SECONDS = 10.0
"""From looking the name up to the answer's status."""
PORTS = {"https": 443, "http": 80}
LOCAL = "names this machine or a private network. Set ALLOW_LOCAL_REMOTES=true to allow that"


class Refused(Exception):
    """The address may not be told anything. Its text says why, after "The URL "."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` is None where none came; `error` is empty where it was taken."""

    status: int | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Way:
    """A URL with an address that was checked in place of the name."""

    target: str
    host: str
    """Whose certificate it has to be."""
    named: str
    """As the `Host` header says it."""


def check(url: str, *, allow_local: bool) -> None:
    """Refused, unless the address may be reached as far as its text tells."""
    _parts(url, allow_local)


def host_of(url: str) -> str:
    """What of an address may be told to others: the rest may hold a secret."""
    return urlsplit(url).hostname or ""


async def send(url: str, body: bytes, headers: Mapping[str, str], *, allow_local: bool) -> Answer:
    """Post it once. What the receiver answers is not read beyond its status."""
    try:
        async with asyncio.timeout(SECONDS):
            return _told(await _post(url, body, headers, allow_local=allow_local))
    except Refused as error:
        return Answer(error=f"The URL {error}.")
    except (TimeoutError, httpx.TimeoutException):
        return Answer(error=f"No answer within {SECONDS:.0f} seconds.")
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        return Answer(error=_words(error))


async def _post(url: str, body: bytes, headers: Mapping[str, str], *, allow_local: bool) -> int:
    found = await ways(url, allow_local=allow_local)
    for way in found:
        try:
            return await _to(way.target, body, {**headers, "Host": way.named}, way.host)
        except httpx.ConnectError:
            if way is found[-1]:
                raise
    raise AssertionError("the last address raises or answers")


async def ways(url: str, *, allow_local: bool) -> Sequence[Way]:
    """The checked addresses behind a URL, one at least. Refused says why there is none."""
    parts, host, port = _parts(url, allow_local)
    try:
        addresses = await resolve(parts.scheme, host, port, allow_local=allow_local)
    except RunError as error:
        raise Refused(LOCAL if error.kind == "remote" else "has a host name that does not resolve") from None
    if not addresses:
        raise Refused("has a host name that does not resolve")
    shown = f"[{host}]" if ":" in host else host
    named = shown if port == PORTS[parts.scheme] else f"{shown}:{port}"
    pinned = [f"[{address}]" if ":" in address else address for address in addresses]
    return [Way(parts._replace(netloc=f"{one}:{port}").geturl(), host, named) for one in pinned]


async def _to(target: str, body: bytes, headers: Mapping[str, str], host: str) -> int:
    """The certificate has to be that of the name, wherever the connection goes."""
    extensions = {"sni_hostname": host}
    async with (
        httpx.AsyncClient(verify=tls(), timeout=SECONDS, follow_redirects=False, trust_env=False) as client,
        client.stream("POST", target, content=body, headers=headers, extensions=extensions) as response,
    ):
        return response.status_code


def _parts(url: str, allow_local: bool) -> tuple[SplitResult, str, int]:
    try:
        parts = urlsplit(url)
        host, port = normalise(parts.hostname or ""), parts.port
    except ValueError:
        raise Refused("is not a valid URL") from None
    if parts.scheme not in PORTS or not host or port == 0:
        raise Refused("must begin with https:// and name a host")
    if not url.isascii() or any(c.isspace() or not c.isprintable() for c in url):
        raise Refused("holds characters that do not belong in one")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise Refused("must hold no user, password or fragment")
    if not allow_local and names_local(host):
        raise Refused(LOCAL)
    if not allow_local and parts.scheme != "https":
        raise Refused("must begin with https://")
    return parts, host, port or PORTS[parts.scheme]


def _told(status: int) -> Answer:
    if 200 <= status < 300:
        return Answer(status)
    if 300 <= status < 400:
        return Answer(
            status, f"Answered {status}, a redirect. Those are not followed: enter the new address."
        )
    return Answer(status, f"Answered {status}.")


def _words(error: Exception) -> str:
    if isinstance(error, httpx.ConnectError):
        tls = "certificate" in str(error).lower() or "ssl" in str(error).lower()
        return "Its certificate was not accepted." if tls else "It does not take connections."
    return f"The connection failed ({type(error).__name__})."
