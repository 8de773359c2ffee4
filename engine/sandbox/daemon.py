"""The Docker engine: one client, its calls in threads, its failures said plainly."""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import docker
from docker.errors import APIError, DockerException, NotFound
from docker.utils import parse_host

from engine.errors import RunError

P = ParamSpec("P")
T = TypeVar("T")

_UNIX = "http+unix://"
OUTAGE_SECONDS = 30.0
"""How long a call waits for an engine that is away: one that is restarted is back in seconds."""
_AGAIN_SECONDS = 0.25
AWAY = (
    "The Docker engine does not answer. Start it (`sudo systemctl start docker`, or `scripts/docker-up` on a "
    "bare Debian machine), and see that this user may reach it (group `docker`)."
)


class _Away(RunError):
    """Nobody took the call, or it broke off: it may be made again."""

    def __init__(self) -> None:
        super().__init__(AWAY, "sandbox")


class Daemon:
    """Connects at first use, so that an engine which starts later is found."""

    def __init__(self) -> None:
        self._client: docker.DockerClient | None = None
        self._connecting = threading.Lock()

    def _connect(self) -> docker.DockerClient:
        with self._connecting:
            _ = self.socket_path  # refuses a remote engine
            if self._client is None:
                self._client = docker.from_env(timeout=60)
            return self._client

    @property
    def socket_path(self) -> str:
        """The engine's Unix socket. A remote engine could not mount this machine's folders anyway."""
        host: Any = parse_host(os.environ.get("DOCKER_HOST"))
        if not host.startswith(_UNIX):
            raise RunError("DOCKER_HOST must name a Docker engine on this machine (unix:///...).", "sandbox")
        return str(host.removeprefix(_UNIX))

    async def client(self) -> docker.DockerClient:
        return await self.call(self._connect)

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one blocking call of the SDK, again while the engine is away for no longer than it restarts.

        RunError after that. The engine's refusals (APIError) pass.
        """
        deadline = time.monotonic() + OUTAGE_SECONDS
        while True:
            try:
                return await self.once(function, *args, **kwargs)
            except _Away:
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(_AGAIN_SECONDS)

    async def once(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """A call that is not to be repeated: RunError where the engine is away."""
        try:
            return await asyncio.to_thread(function, *args, **kwargs)
        except APIError:
            raise
        except (DockerException, OSError) as error:  # the SDK's transport errors are OSErrors
            raise _Away from error

    async def remove(self, container: Any, *, nameless_volumes: bool = False) -> None:
        """Remove a container, not its volumes (or those without a name alone), until its name is free."""
        try:
            await self.call(container.remove, force=True, v=nameless_volumes)
        except NotFound:
            return
        except APIError as error:
            if error.status_code != 409:  # being removed already
                raise refusal("remove a container", error) from error
        with contextlib.suppress(NotFound):
            while True:
                await self.call(container.reload)
                await asyncio.sleep(0.05)

    async def problem(self) -> str | None:
        """Why the engine cannot be used now, with the cure; None when it answers. It is not waited for."""
        try:
            client = await self.once(self._connect)
            await self.once(client.ping)
        except RunError as error:
            return error.reason
        except APIError as error:
            return refusal("answer", error).reason
        return None


def refusal(what: str, error: APIError) -> RunError:
    """An APIError as a reason: `what` could not be done, and what the engine said."""
    said: Any = error.explanation or error
    text = " ".join(str(said).split())[:400]
    return RunError(f"Docker could not {what}: {text}", "disk" if "no space left" in text else "sandbox")
