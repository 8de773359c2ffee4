"""One request to another server: bounded in time and size, following no redirect."""

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import httpx

LIMIT = 4 << 20
"""Bytes of an answer; a hundred repositories with all that GitHub says of them are half a megabyte."""
SECONDS = 20.0
_TIMEOUT = httpx.Timeout(10.0, connect=5.0)


class Away(Exception):
    """No answer came, or none that can be used. Its text is for the log and holds no secret."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`content` is the JSON that came; None where it was none."""

    status: int
    content: Any = field(repr=False)


@lru_cache
def tls() -> ssl.SSLContext:
    """Whom to trust, by SSL_CERT_FILE where it is set. Read once: it takes 20 ms, and holds everything up."""
    return httpx.create_ssl_context()


async def ask(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    content: str | None = None,
    body: Any = None,
) -> Answer:
    """Send it and read the answer. Away when there is none, or when it is over the limits.

    The causes of failures are left behind: they quote headers, and with them tokens.
    """
    sent = {"Accept": "application/json", "User-Agent": "OpenLinear", **(headers or {})}
    try:
        async with (
            asyncio.timeout(SECONDS),
            httpx.AsyncClient(verify=tls(), timeout=_TIMEOUT, follow_redirects=False) as client,
            client.stream(method, url, headers=sent, params=params, content=content, json=body) as response,
        ):
            return Answer(response.status_code, _parsed(await _read(response)))
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, UnicodeError) as error:
        raise Away(type(error).__name__) from None


async def _read(response: httpx.Response) -> bytes:
    """The body as it is after unpacking, which is where a small answer may become a large one."""
    read = bytearray()
    async for chunk in response.aiter_bytes():
        read += chunk
        if len(read) > LIMIT:
            raise Away("the answer is too large")
    return bytes(read)


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None
