"""Which models an OpenAI-compatible endpoint says it has, asked of a checked address."""

import asyncio
import json
from typing import Any

import httpx

from openlinear.outside.http import tls
from openlinear.outside.receiver import Refused, Way, ways

SECONDS = 8.0
"""From looking the name up to the end of the answer."""
LIMIT = 2 << 20
"""Bytes of an answer; a catalogue of some hundred models with all their data is one megabyte."""


async def models_of(base_url: str, key: str, *, allow_local: bool) -> list[str]:
    """The ids that `GET {base_url}/models` names; none where no list came. The key goes nowhere else."""
    try:
        async with asyncio.timeout(SECONDS):
            for way in await ways(f"{base_url}/models", allow_local=allow_local):
                try:
                    return _ids(await _read(way, key))
                except httpx.ConnectError:
                    continue
    except (Refused, httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, RecursionError):
        pass  # whoever asks can name them
    return []


async def _read(way: Way, key: str) -> Any:
    headers = {"Accept": "application/json", "User-Agent": "OpenLinear", "Host": way.named}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    extensions = {"sni_hostname": way.host}
    read = bytearray()
    async with (
        httpx.AsyncClient(timeout=SECONDS, verify=tls(), follow_redirects=False, trust_env=False) as client,
        client.stream("GET", way.target, headers=headers, extensions=extensions) as response,
    ):
        if response.status_code != httpx.codes.OK:
            return None
        async for chunk in response.aiter_bytes():
            read += chunk
            if len(read) > LIMIT:
                return None
    return json.loads(read)


def _ids(content: Any) -> list[str]:
    data = content.get("data") if isinstance(content, dict) else None
    found = [one.get("id") for one in data if isinstance(one, dict)] if isinstance(data, list) else []
    return [one for one in found if isinstance(one, str)]
