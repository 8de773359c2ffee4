"""OpenCode's HTTP API, as far as it is used here, and its event stream."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import PurePosixPath
from typing import Any

import httpx

from engine.errors import RunError
from engine.ports import Box

_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""The server is on loopback, over plain HTTP; loading the certificate store costs 20 ms a client."""
SILENCE = 30.0
"""Seconds without a byte after which the event stream is dead: a heartbeat comes every 10."""

GONE = "The agent in your sandbox does not answer. Run it again: the sandbox is started anew if need be."


class Server:
    """One user's agent server, asked about one folder. Made per use: it belongs to the running loop."""

    def __init__(self, box: Box, directory: PurePosixPath) -> None:
        self._client = httpx.AsyncClient(
            base_url=box.url,
            auth=("opencode", box.password),
            params={"directory": str(directory)},
            timeout=httpx.Timeout(60.0, connect=5.0),
            verify=_NO_TLS,
            trust_env=False,
        )

    async def __aenter__(self) -> "Server":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def get(self, path: str, **params: str) -> Any:
        """The parsed answer, or None when there is no such thing."""
        return await self._call("GET", path, params=params)

    async def post(self, path: str, body: Any = None) -> Any:
        """The parsed answer, or None when there is no such thing or nothing to say."""
        return await self._call("POST", path, json={} if body is None else body)

    async def delete(self, path: str) -> None:
        await self._call("DELETE", path)

    async def _call(self, method: str, path: str, **kwargs: Any) -> Any:
        try:
            answer = await self._client.request(method, path, **kwargs)
        except httpx.HTTPError as error:
            raise RunError(GONE, "agent_crash") from error
        if answer.status_code == 404:
            return None
        if answer.status_code == 401:
            raise RunError("The agent in your sandbox refused the engine's password.", "sandbox")
        if answer.is_error:
            said = f"The agent answered {answer.status_code} to {method} {path.split('/')[1]}."
            raise RunError(said, "agent_crash")
        return answer.json() if answer.content else None

    @asynccontextmanager
    async def events(self) -> AsyncIterator["asyncio.Queue[Any]"]:
        """A queue of the folder's events, subscribed from here on; None in it says that the stream broke off.

        The server's greeting is awaited first, so that what is read afterwards leaves no gap.
        """
        queue: asyncio.Queue[Any] = asyncio.Queue(maxsize=1000)
        timeout = httpx.Timeout(5.0, read=SILENCE)
        async with self._client.stream("GET", "/event", timeout=timeout) as answer:
            answer.raise_for_status()
            lines = data_lines(answer)
            await anext(lines, None)
            pump = asyncio.create_task(_pump(lines, queue))
            try:
                yield queue
            finally:
                pump.cancel()
                await asyncio.gather(pump, return_exceptions=True)


async def _pump(lines: AsyncIterator[Any], queue: "asyncio.Queue[Any]") -> None:
    try:
        async for event in lines:
            await queue.put(event)
    except (httpx.HTTPError, ValueError):
        pass
    await queue.put(None)


async def data_lines(answer: httpx.Response) -> AsyncIterator[Any]:
    """The parsed `data:` lines. httpx's line reader also splits at U+2028 and U+0085, which JSON may hold."""
    rest = b""
    async for data in answer.aiter_bytes():
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield json.loads(line[5:])
