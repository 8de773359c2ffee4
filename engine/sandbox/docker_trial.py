"""Containers of trials: one for each, removed when it is over, and by Docker itself once its time is up."""

import asyncio
import contextlib
import time
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID

from docker.errors import APIError, NotFound

from engine.errors import RunError
from engine.ports import Box
from engine.sandbox import container as spec
from engine.sandbox import docker_exec, image
from engine.sandbox.daemon import Daemon, refusal
from engine.sandbox.docker_network import workers_network
from engine.sandbox.docker_state import Watch
from engine.sandbox.egress import EgressProxy
from engine.sandbox.output import Output
from engine.sandbox.trial import passing
from engine.settings import EngineSettings

GONE = "The container that the checks ran in is gone: Docker was restarted, or somebody removed it."
_TRIES = 5
_FULL_SECONDS = 3.0


class Trials:
    def __init__(self, settings: EngineSettings, daemon: Daemon, proxy: EgressProxy | None) -> None:
        self._settings = settings
        self._proxy = proxy
        self._daemon = daemon

    def box(
        self, user_id: UUID, trial_id: UUID, project_id: UUID, seconds: float
    ) -> AbstractAsyncContextManager[Box]:
        return passing(lambda: self._make(user_id, trial_id, project_id, seconds), self._remove)

    async def _make(self, user_id: UUID, trial_id: UUID, project_id: UUID, seconds: float) -> Box:
        try:
            container = await self._created(user_id, trial_id, project_id, seconds)
            try:
                await self._daemon.call(container.start)
            except BaseException:
                await self._daemon.remove(container, nameless_volumes=True)
                raise
        except APIError as error:
            raise refusal("start a container for the checks", error) from error
        return Box(user_id, "", "", spec.HOME / "repos", spec.HOME / "objects", str(container.id))

    async def _created(self, user_id: UUID, trial_id: UUID, project_id: UUID, seconds: float) -> Any:
        """A new container, in the place of one that has its name."""
        if self._proxy is not None:
            await self._proxy.ensure(user_id)
        image_id = await image.current_id(self._settings, self._daemon)
        network_id = await workers_network(self._settings, self._daemon)
        wanted = spec.trial_spec(
            self._settings,
            user_id,
            image_id,
            network_id,
            trial_id=trial_id,
            project_id=project_id,
            seconds=seconds,
        )
        objects = spec.shared_objects(self._settings, user_id) / str(project_id)
        await asyncio.to_thread(objects.mkdir, parents=True, exist_ok=True)
        client = await self._daemon.client()
        for attempt in range(_TRIES):
            try:
                return await self._daemon.call(client.containers.create, **wanted)
            except APIError as error:
                if error.status_code != 409 or attempt == _TRIES - 1:
                    raise
            await self._drop(wanted["name"])
        raise AssertionError("the last try returns or raises")

    async def _remove(self, box: Box) -> None:
        await self._drop(box.trial)

    async def _drop(self, name: str) -> None:
        client = await self._daemon.client()
        try:
            container = await self._daemon.call(client.containers.get, name)
        except NotFound:
            return
        await self._daemon.remove(container, nameless_volumes=True)

    async def clear(self, *, under_way: bool) -> list[UUID]:
        client = await self._daemon.client()
        wanted = [f"{key}={value}" for key, value in spec.trial_labels(self._settings).items()]
        try:
            found = await self._daemon.call(
                client.containers.list, all=True, ignore_removed=True, filters={"label": wanted}
            )
        except APIError as error:
            raise refusal("list the containers", error) from error
        left = [one for one in found if under_way or float(one.labels["until"]) < time.time()]
        await asyncio.gather(*(self._daemon.remove(one, nameless_volumes=True) for one in left))
        return [UUID(one.labels["trialId"]) for one in left]

    async def cause_of_death(self, watch: Watch, name: str) -> RunError | None:
        client = await self._daemon.client()
        try:
            container = await self._daemon.call(client.containers.get, name)
        except NotFound:
            return RunError(GONE, "sandbox")
        except APIError as error:
            raise refusal("look at a container", error) from error
        cause = await watch.cause_of_death(container)
        if cause is not None and cause.kind == "limit":
            return cause
        return None if await self._lives(container) else RunError(GONE, "sandbox")

    async def _lives(self, container: Any) -> bool:
        """Whether its first process does. A command that was killed with it may be told of a moment earlier,
        and one in a container that is full of processes cannot be started.
        """
        deadline = time.monotonic() + _FULL_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(APIError, RunError):
                if await docker_exec.run(self._daemon, container.id, ["true"], Output(None, 1 << 16)) == 0:
                    return True
            try:
                await self._daemon.call(container.reload)
            except NotFound:
                return False
            if container.status != "running":
                return False
            await asyncio.sleep(0.1)
        return True
