"""What agents in containers reach: each user's policy, and the proxy that keeps to it.

The containers' own network leads nowhere. The way out is a Unix socket in a folder that is mounted into one
user's containers alone; the proxy listens on it, in a container of its own with a foot in the open network.
"""

import asyncio
import hashlib
import inspect
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID, uuid4

from docker.errors import APIError, NotFound
from docker.types import LogConfig, Mount

from engine import public
from engine.ports import Egress
from engine.sandbox import egress_proxy, egress_rules, egress_way, image
from engine.sandbox.daemon import Daemon, refusal
from engine.sandbox.docker_network import outer_network
from engine.settings import EngineSettings

COMPONENT = "egress-proxy"
UID = 10002
INSIDE = PurePosixPath("/egress")
MEMORY = "384m"


def _program() -> str:
    """The proxy with the rule for addresses, as one file."""
    line = "from engine.public import is_private, is_public\n"
    return inspect.getsource(public) + inspect.getsource(egress_proxy).replace(line, "")


class EgressProxy:
    """The installation's proxy container, and the folders that it shares with the engine."""

    def __init__(self, settings: EngineSettings, daemon: Daemon) -> None:
        self._settings = settings
        self._daemon = daemon
        self._folder = egress_way.folder(settings)
        self._making = asyncio.Lock()
        self._current = ""
        """The container that was seen to be as it is laid down now."""

    @property
    def name(self) -> str:
        suffix = "" if self._settings.installation == "default" else f"-{self._settings.installation}"
        return f"openlinear-egress{suffix}"

    # -- policies -------------------------------------------------------------------------------

    async def allow(self, user_id: UUID, egress: Egress) -> None:
        """Holds from now on, for what is open too: the proxy sees the change within a moment."""
        await asyncio.to_thread(self._write, user_id, egress)

    async def _prepare(self, user_id: UUID) -> None:
        """See that this user has a policy: the default, until another is told."""
        if not self._policy(user_id).exists() or not egress_way.sockets(self._settings, user_id).exists():
            await self.allow(user_id, Egress(self._settings.egress_default))

    def _policy(self, user_id: UUID) -> Path:
        return self._folder / "policies" / f"{user_id}.json"

    def _write(self, user_id: UUID, egress: Egress) -> None:
        path = self._policy(user_id)
        self._make(path.parent)
        self._make(egress_way.sockets(self._settings, user_id))
        text = json.dumps(egress_rules.policy(egress, self._settings))
        if path.is_file() and path.read_text() == text:
            return
        partial = path.with_name(f".{uuid4()}")
        partial.write_text(text)
        partial.chmod(0o644)
        partial.replace(path)

    def _make(self, folder: Path) -> None:
        """A folder of the proxy's, below one that nobody else on this machine may enter."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)  # workers pass through it as another user
        if os.geteuid() == 0:
            os.chown(folder, UID, UID)

    async def refused(self, user_id: UUID) -> Mapping[str, float]:
        """Hosts that were refused of late, and when (Unix time), as agents named them."""
        return await asyncio.to_thread(
            egress_rules.refused, egress_way.sockets(self._settings, user_id) / "refused.json"
        )

    async def forget(self, user_id: UUID) -> None:
        self._policy(user_id).unlink(missing_ok=True)
        await asyncio.to_thread(
            shutil.rmtree, egress_way.sockets(self._settings, user_id), ignore_errors=True
        )

    # -- the container --------------------------------------------------------------------------

    async def ensure(self, user_id: UUID) -> None:
        """See that the proxy runs, as it is laid down now, and that this user has a policy."""
        await self._prepare(user_id)
        async with self._making:
            container = await self._get()
            if container is None or container.status != "running" or container.id != self._current:
                self._current = await self._started(container)

    async def rest(self) -> None:
        """Remove it: no container is awake that would need it."""
        async with self._making:
            container = await self._get()
            if container is not None:
                await self._daemon.remove(container)

    async def _get(self) -> Any | None:
        client = await self._daemon.client()
        try:
            return await self._daemon.call(client.containers.get, self.name)
        except NotFound:
            return None

    async def _started(self, container: Any | None) -> str:
        """Its id, once it runs; "" where another worker is about to start it."""
        for folder in ("policies", "sockets"):
            await asyncio.to_thread(self._make, self._folder / folder)
        wanted = await self._spec()
        if container is not None and (
            container.labels.get("spec") != wanted["labels"]["spec"] or container.status == "dead"
        ):
            await self._daemon.remove(container)
            container = None
        client = await self._daemon.client()
        try:
            made: Any = container or await self._daemon.call(client.containers.create, **wanted)
            await self._daemon.call(made.start)
        except NotFound:
            return ""  # removed by another worker, which makes it anew
        except APIError as error:
            if error.status_code == 409:
                return ""
            raise refusal("start the network proxy of the agents' containers", error) from error
        return str(made.id)

    async def _spec(self) -> dict[str, Any]:
        """Arguments of `containers.create`. The label `spec` changes whenever anything here does."""
        root = os.geteuid() == 0
        user = f"{UID}:{UID}" if root else f"{os.geteuid()}:{os.getegid()}"
        spec: dict[str, Any] = {
            "image": await image.current_id(self._settings, self._daemon),
            "name": self.name,
            "network": await outer_network(self._settings, self._daemon),
            "user": user,
            "entrypoint": ["tini", "--", "python3", "-I", "-c", _program()],
            "command": [str(INSIDE / "policies"), str(INSIDE / "sockets")],
            "healthcheck": {"test": ["NONE"]},
            "restart_policy": {"Name": "on-failure"},
            "mem_limit": MEMORY,
            "memswap_limit": MEMORY,
            "pids_limit": 1024,
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "read_only": True,
            "extra_hosts": {"host.docker.internal": "host-gateway"},
        }
        digest = hashlib.sha256(json.dumps([spec, str(self._folder)]).encode()).hexdigest()[:16]
        spec["mounts"] = [
            Mount(str(INSIDE / "policies"), str(self._folder / "policies"), type="bind", read_only=True),
            Mount(str(INSIDE / "sockets"), str(self._folder / "sockets"), type="bind"),
        ]
        spec["log_config"] = LogConfig(type="json-file", config={"max-size": "1m", "max-file": "1"})
        spec["labels"] = {
            "app": "openlinear",
            "component": COMPONENT,
            "installation": self._settings.installation,
            "spec": digest,
        }
        return spec
