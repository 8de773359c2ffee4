"""How the sandbox's host is, looked at without changing anything, for `openlinear doctor`."""

import asyncio
import json
from dataclasses import dataclass, replace
from typing import Any, Literal

import docker
from docker.errors import DockerException, ImageNotFound

from engine.errors import RunError
from engine.sandbox import container as spec
from engine.sandbox import opencode, wall
from engine.sandbox.cell import bubblewrap
from engine.sandbox.daemon import Daemon
from engine.sandbox.image import CONTEXT_LABEL, DEFAULT_IMAGE, build_context, context_hash
from engine.settings import EngineSettings

ANSWER_SECONDS = 4

Image = Literal["current", "old", "absent", "own"]


@dataclass(frozen=True, slots=True)
class DockerSeen:
    version: str
    storage: str
    """The storage driver: `overlay2`, …"""
    cgroup: str
    """`1` or `2`: limits of memory and processes want one that works."""
    limits: bool
    """Whether memory and processes can be limited here."""
    image: Image
    """`own` is somebody's own image (OPENCODE_IMAGE), which no version is told of."""
    walled: bool | None
    """Whether agents are kept from what this machine listens on at 0.0.0.0; without root None."""
    dead: tuple[str, ...]
    """Names of this installation's containers that ended and were not removed."""


@dataclass(frozen=True, slots=True)
class ProcessSeen:
    bubblewrap: bool
    missing: str | None
    """What agents lack here, with the cure."""


def chosen(settings: EngineSettings) -> Literal["docker", "process"] | None:
    """Where agents run here; None where `auto` has not been decided yet."""
    if settings.sandbox != "auto":
        return settings.sandbox
    try:
        stored = json.loads((settings.openlinear_home / "sandbox.json").read_text())["sandbox"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return stored if stored in ("docker", "process") else None


async def docker_seen(settings: EngineSettings) -> DockerSeen:
    """RunError says why the Docker engine cannot be asked, with the cure."""
    daemon = Daemon()
    _ = daemon.socket_path  # refuses a remote engine
    seen = await daemon.once(_look, settings)
    return replace(seen, walled=await wall.closed(spec.bridge_name(settings)))


async def process_seen(settings: EngineSettings) -> ProcessSeen:
    found = await asyncio.to_thread(bubblewrap)
    return ProcessSeen(found is not None, opencode.missing(settings))


def _look(settings: EngineSettings) -> DockerSeen:
    client = docker.from_env(timeout=ANSWER_SECONDS)
    try:
        info: dict[str, Any] = client.info()
        wanted = [f"{key}={value}" for key, value in spec.labels(settings).items()]
        ended = client.containers.list(
            all=True, ignore_removed=True, filters={"label": wanted, "status": ["exited", "dead"]}
        )
        return DockerSeen(
            version=str(info.get("ServerVersion", "unknown")),
            storage=str(info.get("Driver", "unknown")),
            cgroup=str(info.get("CgroupVersion", "unknown")),
            limits=bool(info.get("MemoryLimit")) and bool(info.get("PidsLimit")),
            image=_image(client, settings),
            walled=None,
            dead=tuple(sorted(str(one.name) for one in ended)),
        )
    except DockerException as error:
        raise RunError(
            f"The Docker engine refused: {' '.join(str(error).split())[:200]}", "sandbox"
        ) from error
    finally:
        client.close()


def _image(client: docker.DockerClient, settings: EngineSettings) -> Image:
    try:
        image = client.images.get(settings.opencode_image)
    except ImageNotFound:
        return "absent"
    if settings.opencode_image != DEFAULT_IMAGE:
        return "own"
    return "current" if image.labels.get(CONTEXT_LABEL) == context_hash(build_context()) else "old"
