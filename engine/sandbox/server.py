"""The agent server inside a sandbox: its password, and whether it answers."""

import asyncio
import hashlib
import hmac
import ssl

import httpx

from engine.settings import EngineSettings

READY_LINE = "opencode server listening on"
"""A request sent before the server has printed this is accepted and never answered."""


_NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Plain HTTP on loopback needs none, and loading the system's takes longer than the request."""


def server_password(settings: EngineSettings, *context: object) -> str:
    """Derived and never stored: a worker that takes over computes the same one.

    Of several keys it goes by the oldest: while one is being replaced, workers that know the new key and
    such that do not yet still agree.
    """
    key = settings.openlinear_secret_key.get_secret_value().rpartition(",")[2].strip().encode()
    message = "\0".join(["opencode-server", *map(str, context)]).encode()
    return hmac.new(key, message, hashlib.sha256).hexdigest()


async def healthy(url: str, password: str, timeout: float = 2.0) -> bool:
    """Whether the server at `url` answers its health route to this password."""
    try:
        async with httpx.AsyncClient(timeout=timeout, trust_env=False, verify=_NO_CERTIFICATES) as client:
            answer = await client.get(f"{url}/global/health", auth=("opencode", password))
    except httpx.HTTPError:
        return False
    return answer.status_code == 200


async def until_healthy(url: str, password: str, timeout: float) -> bool:
    """Ask until it answers, for at most `timeout` seconds."""
    deadline = asyncio.get_running_loop().time() + timeout
    while not await healthy(url, password):
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(0.1)
    return True
