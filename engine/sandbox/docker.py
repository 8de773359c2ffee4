"""A container per user: made, woken, paused and found again by its labels."""

import asyncio
import contextlib
import io
import tarfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from uuid import UUID, uuid4

from docker.errors import APIError, NotFound

from engine.errors import RunError
from engine.metrics import CONTAINER_STARTS, totals
from engine.ports import Box, BoxState, Egress, Finished, Report, SandboxName
from engine.sandbox import container as spec
from engine.sandbox import docker_census, docker_exec, docker_volumes, image
from engine.sandbox.daemon import AWAY, Daemon, refusal
from engine.sandbox.docker_network import workers_network
from engine.sandbox.docker_state import Watch
from engine.sandbox.docker_trial import Trials
from engine.sandbox.egress import EgressProxy
from engine.sandbox.helper import spawn_argv
from engine.sandbox.output import Output, timed_out
from engine.sandbox.server import server_password
from engine.settings import EngineSettings

CHECK_SECONDS = 2.0


class DockerSandbox:
    """`engine.ports.Sandbox` on a Docker engine."""

    name: SandboxName = "docker"

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._daemon = Daemon()
        self._locks: defaultdict[UUID, asyncio.Lock] = defaultdict(asyncio.Lock)
        # A start is CPU bound (some 4 s alone): more at once only make each other late.
        self._starts = asyncio.Semaphore(2)
        self._watch = Watch(settings, self._daemon)
        self._proxy = EgressProxy(settings, self._daemon) if settings.egress == "on" else None
        self._trials = Trials(settings, self._daemon, self._proxy)

    def shared_objects(self, user_id: UUID) -> Path:
        return spec.shared_objects(self._settings, user_id)

    async def check(self) -> str | None:
        try:  # the worker's sign of life comes after it, whatever the engine does
            async with asyncio.timeout(CHECK_SECONDS):
                return await self._daemon.problem() or await image.missing(self._settings, self._daemon)
        except TimeoutError:
            return AWAY

    # -- lifecycle ------------------------------------------------------------------------------

    async def ensure(self, user_id: UUID, report: Report) -> Box:
        async with self._locks[user_id]:
            try:
                container = await self._present(user_id, report)
                return await self._woken(container, user_id, report)
            except APIError as error:
                raise refusal("start your container", error) from error

    async def _get(self, user_id: UUID) -> Any | None:
        client = await self._daemon.client()
        try:
            return await self._daemon.call(
                client.containers.get, spec.container_name(self._settings, user_id)
            )
        except NotFound:
            return None

    async def _present(self, user_id: UUID, report: Report) -> Any:
        """The user's container; a new one where there is none, or where an idle one is out of date."""
        container, _ = await asyncio.gather(self._get(user_id), self._way_out(user_id))
        if container is not None and container.status in {"running", "restarting"}:
            return container
        image_id = await image.current_id(self._settings, self._daemon)
        network_id = await workers_network(self._settings, self._daemon)
        wanted = spec.container_spec(self._settings, user_id, image_id, network_id)
        if container is not None:
            current = container.labels.get("spec") == wanted["labels"]["spec"]
            if current and container.status not in {"dead", "removing"}:
                return container
            await report("Replacing your container with the current version")
            await self._daemon.remove(container)
        return await self._create(user_id, wanted, report)

    async def _way_out(self, user_id: UUID) -> None:
        if self._proxy is not None:
            await self._proxy.ensure(user_id)

    async def _create(self, user_id: UUID, wanted: dict[str, Any], report: Report) -> Any:
        await report("Creating your container")
        client = await self._daemon.client()
        labels = {**spec.labels(self._settings), "userId": str(user_id)}
        for name in spec.volumes(self._settings, user_id):
            await self._daemon.call(client.volumes.create, name, labels=labels)
        await asyncio.to_thread(self.shared_objects(user_id).mkdir, parents=True, exist_ok=True)
        try:
            return await self._daemon.call(client.containers.create, **wanted)
        except APIError as error:
            if error.status_code != 409:
                raise
        # Another process was first. The name is taken a moment before its container can be seen.
        for _ in range(100):
            if container := await self._get(user_id):
                return container
            await asyncio.sleep(0.05)
        raise RunError("Your container is being made by another worker and did not appear.", "sandbox")

    async def _woken(self, container: Any, user_id: UUID, report: Report) -> Box:
        if container.status == "paused":
            with contextlib.suppress(APIError):  # woken by another meanwhile; else it does not get ready
                await self._daemon.call(container.unpause)
            await self._daemon.call(container.reload)
        elif container.status not in {"running", "restarting"}:
            async with self._starts:
                await report("Starting your container")
                await self._give_password(container, user_id)
                try:
                    await self._start(container)
                except APIError as error:
                    if "already exists" not in str(error):
                        raise
                    # Docker was killed while it started this one, and will never find its way back to it.
                    await self._daemon.remove(container)
                    container = await self._present(user_id, report)
                    await self._give_password(container, user_id)
                    await self._start(container)
                await self._daemon.call(container.reload)
                return await self._box(container, user_id)
        return await self._box(container, user_id)

    async def _box(self, container: Any, user_id: UUID) -> Box:
        password = self._password(user_id)
        try:
            url = await self._watch.until_ready(container, password)
        except RunError:
            # Stopped, it is started afresh by the next run instead of failing that one too.
            with contextlib.suppress(APIError):
                await self._daemon.call(container.stop, timeout=5)
            raise
        return Box(user_id, url, password, spec.HOME / "repos", spec.HOME / "objects")

    def _name(self, box: Box) -> str:
        return box.trial or spec.container_name(self._settings, box.user_id)

    def _password(self, user_id: UUID) -> str:
        return server_password(self._settings, user_id, spec.container_name(self._settings, user_id))

    async def _give_password(self, container: Any, user_id: UUID) -> None:
        """Put the server's password into its volume as a file: not in the environment, not in argv."""
        data = self._password(user_id).encode()
        entry = tarfile.TarInfo(spec.PASSWORD_FILE)
        entry.size, entry.mode, entry.uid, entry.gid = len(data), 0o600, spec.UID, spec.UID
        entry.mtime = int(time.time())
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            tar.addfile(entry, io.BytesIO(data))
        await self._daemon.call(container.put_archive, str(spec.PASSWORD_FOLDER), archive.getvalue())

    async def _start(self, container: Any) -> None:
        """Start it; a host port that was taken between choice and use is chosen anew."""
        for attempt in range(3):
            try:
                await self._daemon.call(container.start)
                totals.count(CONTAINER_STARTS, sandbox="docker")
                return
            except APIError as error:
                if attempt == 2 or "port is already allocated" not in str(error):
                    raise

    async def pause(self, user_id: UUID) -> None:
        container = await self._get(user_id)
        if container is None or container.status != "running":
            return
        try:
            await self._daemon.call(container.pause)
        except NotFound:
            return
        except APIError as error:
            if error.status_code != 409:  # it stopped, or was paused, meanwhile
                raise refusal("pause a container", error) from error

    async def rest(self) -> None:
        if self._proxy is not None:
            await self._proxy.rest()

    async def remove(self, user_id: UUID) -> None:
        async with self._locks[user_id]:
            container = await self._get(user_id)
            if container is not None:
                await self._daemon.remove(container)

    async def found(self) -> dict[UUID, BoxState]:
        client = await self._daemon.client()
        wanted = [f"{key}={value}" for key, value in spec.labels(self._settings).items()]
        try:
            containers = await self._daemon.call(
                client.containers.list, all=True, ignore_removed=True, filters={"label": wanted}
            )
        except APIError as error:
            raise refusal("list the containers", error) from error
        states: dict[str, BoxState] = {"running": "running", "restarting": "running", "paused": "paused"}
        return {UUID(one.labels["userId"]): states.get(one.status, "stopped") for one in containers}

    async def free_bytes(self) -> int:
        return await docker_volumes.free_bytes(self._daemon)

    async def taken(self, box: Box) -> int:
        return await docker_census.taken(self._settings, self._daemon, box.user_id, self._name(box))

    async def holdings(self) -> dict[UUID, int]:
        return await docker_volumes.holdings(self._settings, self._daemon)

    async def forget(self, user_id: UUID) -> None:
        await self.remove(user_id)
        await docker_volumes.remove_volumes(self._settings, self._daemon, user_id)
        if self._proxy is not None:
            await self._proxy.forget(user_id)

    async def image_bytes(self) -> int:
        return await docker_volumes.image_bytes(self._settings, self._daemon)

    async def cause_of_death(self, user_id: UUID, trial: str = "") -> RunError | None:
        if trial:
            return await self._trials.cause_of_death(self._watch, trial)
        container = await self._get(user_id)
        return None if container is None else await self._watch.cause_of_death(container)

    # -- network --------------------------------------------------------------------------------

    async def allow(self, user_id: UUID, egress: Egress) -> None:
        if self._proxy is not None:
            await self._proxy.allow(user_id, egress)

    async def refused(self, user_id: UUID) -> Mapping[str, float]:
        return await self._proxy.refused(user_id) if self._proxy is not None else {}

    # -- trials ---------------------------------------------------------------------------------

    def trial(
        self, user_id: UUID, trial_id: UUID, *, project_id: UUID, seconds: float
    ) -> AbstractAsyncContextManager[Box]:
        return self._trials.box(user_id, trial_id, project_id, seconds)

    async def clear_trials(self, *, under_way: bool = False) -> list[UUID]:
        return await self._trials.clear(under_way=under_way)

    # -- commands -------------------------------------------------------------------------------

    async def exec(
        self,
        box: Box,
        argv: Sequence[str],
        *,
        cwd: PurePosixPath | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        stdout: BinaryIO | None = None,
        limit: int = 8 << 20,
        timeout: float = 60.0,
    ) -> Finished:
        output = Output(stdout, limit)
        name = self._name(box)
        marker = f"{docker_exec.MARKER}={uuid4().hex}"
        variable, value = marker.split("=")
        ended = False
        try:
            async with asyncio.timeout(timeout):
                code = await docker_exec.run(
                    self._daemon,
                    name,
                    argv,
                    output,
                    cwd=str(cwd or spec.HOME),
                    env={**(env or {}), variable: value},
                    stdin=stdin,
                )
            ended = True
        except TimeoutError as error:
            raise timed_out(argv[0], timeout) from error
        except APIError as error:
            raise refusal("run a command in your container", error) from error
        finally:
            if not ended:  # closing the connection does not end the command
                await asyncio.shield(docker_exec.reap(self._daemon, name, marker))
        return Finished(code, bytes(output.stdout), bytes(output.stderr))

    async def spawn(self, box: Box, name: str, argv: Sequence[str], *, stdin: bytes = b"") -> None:
        done = await self.exec(box, spawn_argv(name, argv), stdin=stdin)
        if done.exit_code != 0:
            said = done.stderr.decode(errors="replace").strip()[-400:]
            raise RunError(f"The helper {name} could not be started in your container: {said}", "sandbox")

    async def stop_run(self, box: Box, run_id: UUID) -> None:
        name = self._name(box)
        await docker_exec.reap(self._daemon, name, str(run_id), str(box.repos / str(run_id)))
