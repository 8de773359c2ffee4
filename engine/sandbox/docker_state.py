"""What a container's record, log and counters tell: whether it is ready, and why it died."""

import asyncio
import contextlib
import time
from datetime import datetime
from typing import Any

from docker.errors import APIError

from engine.errors import RunError
from engine.sandbox import container as spec
from engine.sandbox.daemon import Daemon
from engine.sandbox.server import READY_LINE, healthy
from engine.settings import EngineSettings

START_TIMEOUT = 90.0
"""Seconds until the agent server in a container must answer. Alone it takes 4; on a busy machine, 20."""
_ENDED = {"exited", "dead", "created"}


class Watch:
    """Remembers, per container, the start that was seen to listen and when it was last ensured."""

    def __init__(self, settings: EngineSettings, daemon: Daemon) -> None:
        self._settings = settings
        self._daemon = daemon
        self._listening: dict[str, str] = {}
        self._ensured: dict[str, float] = {}
        """Container id → when it was last ensured, in Unix time."""

    async def until_ready(self, container: Any, password: str) -> str:
        """The server's URL, once it has said that it listens and has answered to its password.

        `container` is as it was just read: a run that finds it warm pays for no second look.
        """
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if container.status in _ENDED:
                break
            # Read anew each time: a server that died is started again by the engine, on another port.
            url = _url(container)
            if url is not None and await self._listens(container) and await healthy(url, password):
                self._ensured[container.id] = time.time()
                return url
            await asyncio.sleep(0.1)
            await self._daemon.call(container.reload)
        cause = await self.cause_of_death(container)
        told = cause.reason if cause else self._out_of_reach(container) or await self._last_words(container)
        raise RunError(f"The agent server in your container did not become ready. {told}", "agent_crash")

    def _out_of_reach(self, container: Any) -> str:
        """Why a server that listens does not answer, where that can be the network's layout."""
        if self._settings.egress == "off" or container.id not in self._listening:
            return ""
        return (
            "It listens, and this machine does not reach its address. Where containers' addresses are out of "
            "reach (Docker Desktop, an engine in a container), start OpenLinear with EGRESS=off."
        )

    async def _listens(self, container: Any) -> bool:
        """Whether this start of the container has printed the line before which no request may be sent."""
        started = container.attrs["State"]["StartedAt"]
        if self._listening.get(container.id) == started:
            return True
        log = await self._daemon.call(container.logs, since=_unix(started), stderr=False)
        if READY_LINE.encode() not in log:
            return False
        self._listening[container.id] = started
        return True

    async def _last_words(self, container: Any) -> str:
        with contextlib.suppress(APIError):
            log: bytes = await self._daemon.call(container.logs, tail=5)
            return "Its last words: " + " ".join(log.decode(errors="replace").split())[-400:]
        return "It is gone."

    # -- death ----------------------------------------------------------------------------------

    async def cause_of_death(self, container: Any) -> RunError | None:
        """Why the container, its server or a command in it died since it was last ensured."""
        with contextlib.suppress(APIError):
            await self._daemon.call(container.reload)
        state = container.attrs["State"]
        if state["OOMKilled"] or await self._starved(container):
            return RunError(
                f"Your container ran out of memory ({self._settings.container_memory_mb} MB) and what ran in "
                "it was killed. Run less at once, or raise CONTAINER_MEMORY_MB.",
                "limit",
            )
        if container.status in _ENDED and container.status != "created":
            return RunError(f"Your container ended with exit code {state['ExitCode']}.", "agent_crash")
        return None

    async def _starved(self, container: Any) -> bool:
        """Whether the engine noted a kill for want of memory, of any process in it, since it was ensured.

        The container's own record forgets it with an automatic restart, and so do its cgroup's counters.
        """
        api: Any = (await self._daemon.client()).api
        since = self._ensured.get(container.id) or _unix(container.attrs["State"]["StartedAt"])
        wanted = {"container": container.id, "event": "oom"}

        def events() -> list[Any]:
            return list(api.events(since=since, until=time.time(), filters=wanted))

        return bool(await self._daemon.call(events))


def _unix(date: str) -> float:
    """The engine's dates have nine decimals, of which Python reads six."""
    whole, _, rest = date.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{rest[:6]:0<6}+00:00").timestamp()


def _url(container: Any) -> str | None:
    """Where the server is now: at the container's own address on the inner network, which publishes no port,
    or (EGRESS=off) where it is published. Both may be others after a start.
    """
    network = container.attrs["NetworkSettings"]
    if bindings := network["Ports"].get(spec.PORT):
        return f"http://127.0.0.1:{bindings[0]['HostPort']}"
    address = next((one["IPAddress"] for one in network["Networks"].values()), "")
    return f"http://{address}:{spec.PORT.partition('/')[0]}" if address else None
