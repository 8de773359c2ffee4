"""The worker image: whether it is current, and how it is made where it is not."""

import asyncio
import hashlib
import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from docker.errors import APIError, ImageNotFound

from engine.errors import RunError
from engine.ports import Report
from engine.sandbox.daemon import Daemon, refusal
from engine.settings import EngineSettings

DEFAULT_IMAGE = "opencode-worker:latest"
BASE_IMAGE = "debian:bookworm-slim"
CONTEXT_LABEL = "openlinear.context"
PULL_PATIENCE = 20.0
"""Seconds a registry may keep silent before the base image is made from Debian's packages instead."""
_HERE = Path(__file__).parent
_CHECKOUT = _HERE.parent.parent


def build_context() -> Path:
    """The folder with the worker's Dockerfile: in a checkout, or inside the installed package."""
    return next(
        path
        for path in (_HERE / "worker_image", _CHECKOUT / "docker" / "worker")
        if (path / "Dockerfile").is_file()
    )


def _base_image_script() -> Path:
    return next(
        path for path in (_HERE / "base-image", _CHECKOUT / "scripts" / "base-image") if path.is_file()
    )


def context_hash(folder: Path) -> str:
    """Names what the image is built from: paths and contents. Modes are the Dockerfile's own."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


async def _inspect(daemon: Daemon, tag: str) -> Any | None:
    client = await daemon.client()
    try:
        return await daemon.call(client.images.get, tag)
    except ImageNotFound:
        return None


async def current_id(settings: EngineSettings, daemon: Daemon) -> str:
    """The id of the image that containers are made of. RunError where there is none."""
    image = await _inspect(daemon, settings.opencode_image)
    if image is None:
        raise RunError(_absent(settings.opencode_image), "sandbox")
    return str(image.id)


async def missing(settings: EngineSettings, daemon: Daemon) -> str | None:
    """Why no container can be made for want of an image, with the cure."""
    return None if await _inspect(daemon, settings.opencode_image) else _absent(settings.opencode_image)


def _absent(tag: str) -> str:
    return f"The worker image {tag} is not there. Run `openlinear up`, which builds or pulls it."


async def ensure_image(settings: EngineSettings, report: Report) -> str | None:
    """See that the worker image is there and current, building or pulling it. Why it is not, or None.

    Only the default tag is built. Any other is somebody's own image: pulled when absent, used as it is.
    """
    daemon = Daemon()
    if problem := await daemon.problem():
        return problem
    try:
        if settings.opencode_image != DEFAULT_IMAGE:
            return await _pulled(daemon, settings.opencode_image, report)
        context = build_context()
        wanted = await asyncio.to_thread(context_hash, context)
        image = await _inspect(daemon, DEFAULT_IMAGE)
        if image is not None and image.labels.get(CONTEXT_LABEL) == wanted:
            return None
        return await _based(daemon, report) or await _built(daemon, context, wanted, report)
    except APIError as error:
        return refusal("prepare the worker image", error).reason
    except RunError as error:
        return error.reason


async def _pulled(daemon: Daemon, tag: str, report: Report) -> str | None:
    if await _inspect(daemon, tag):
        return None
    await report(f"Pulling {tag}")
    client = await daemon.client()
    try:
        await daemon.once(client.images.pull, tag)
    except APIError as error:
        return f"{refusal(f'pull OPENCODE_IMAGE ({tag})', error).reason} Pull or build it yourself."
    return None


# -- base ---------------------------------------------------------------------------------------


async def _based(daemon: Daemon, report: Report) -> str | None:
    """The Debian base: here already, pulled, or made from Debian's packages. Why not, or None."""
    if await _inspect(daemon, BASE_IMAGE):
        return None
    await report(f"Pulling {BASE_IMAGE}")
    if await _pull_base(daemon):
        return None
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return (
            f"{BASE_IMAGE} cannot be pulled. As root on a Debian machine, run `{_base_image_script()} "
            f"{BASE_IMAGE}`: it makes one from Debian's packages."
        )
    await report(f"No image registry answers: making {BASE_IMAGE} from Debian's packages (about a minute)")
    script = await asyncio.create_subprocess_exec(
        "bash",
        _base_image_script(),
        "--no-pull",
        BASE_IMAGE,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await script.communicate()
    if script.returncode != 0:
        return f"{BASE_IMAGE} can neither be pulled nor made: {_tail(said.decode(errors='replace'))}"
    return None


async def _pull_base(daemon: Daemon) -> bool:
    """Whether a registry delivered it. One that keeps silent is not waited for."""
    api: Any = (await daemon.client()).api
    repository, _, tag = BASE_IMAGE.rpartition(":")
    try:
        pull = await asyncio.wait_for(
            daemon.once(api.pull, repository, tag=tag, stream=True, decode=True), PULL_PATIENCE
        )
        async for line in _lines(daemon, pull, PULL_PATIENCE * 6):
            if "error" in line:
                return False
    except (APIError, TimeoutError):
        return False
    return await _inspect(daemon, BASE_IMAGE) is not None


# -- build --------------------------------------------------------------------------------------


async def _built(daemon: Daemon, context: Path, wanted: str, report: Report) -> str | None:
    """Build it, a line of progress per step. What went wrong, or None."""
    await report("Building the worker image (a minute or two, once)")
    api: Any = (await daemon.client()).api
    build = await daemon.once(
        api.build,
        path=str(context),
        tag=DEFAULT_IMAGE,
        labels={CONTEXT_LABEL: wanted},
        rm=True,
        forcerm=True,
        decode=True,
    )
    tail = ""
    async for line in _lines(daemon, build, None):
        if "error" in line:
            return (
                f"The worker image could not be built: {_tail(tail + line['error'])} "
                "See that containers reach the Debian, PyPI and npm registries, and start again."
            )
        text = line.get("stream", "")
        tail = (tail + text)[-2000:]
        if step := re.match(r"Step (\d+)/(\d+) : (\S+)", text):
            await report(f"Building the worker image: step {step[1]} of {step[2]}")
    return None


async def _lines(daemon: Daemon, stream: Any, patience: float | None) -> AsyncIterator[dict[str, Any]]:
    """What the engine streams about long work; TimeoutError after `patience` seconds of silence."""
    lines = iter(stream)
    while True:
        line = await asyncio.wait_for(daemon.once(next, lines, None), patience)
        if line is None:
            return
        yield line


def _tail(text: str) -> str:
    """The end of a build's output on one line, without its colours."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return " ".join(plain.split())[-300:]
