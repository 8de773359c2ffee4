"""Which sandbox this installation has. `auto` is decided once and kept."""

import asyncio
import json
import os
from typing import Literal

from engine.ports import Sandbox
from engine.sandbox.daemon import Daemon
from engine.sandbox.docker import DockerSandbox
from engine.sandbox.process import ProcessSandbox
from engine.settings import EngineSettings

Kind = Literal["docker", "process"]


async def choose(settings: EngineSettings) -> Sandbox:
    """The sandbox named by SANDBOX; under `auto`, what was found at the first start.

    An outage of Docker later must not move agents out of their containers, so the choice is stored.
    """
    kind: Kind = settings.sandbox if settings.sandbox != "auto" else await _decided(settings)
    return DockerSandbox(settings) if kind == "docker" else ProcessSandbox(settings)


async def _decided(settings: EngineSettings) -> Kind:
    path = settings.openlinear_home / "sandbox.json"
    try:
        stored = json.loads(path.read_text())["sandbox"]
    except FileNotFoundError:
        stored = None
    if stored in ("docker", "process"):
        return "docker" if stored == "docker" else "process"
    kind: Kind = "process" if await Daemon().problem() else "docker"
    await asyncio.to_thread(settings.openlinear_home.mkdir, parents=True, exist_ok=True)
    partial = path.with_name(f".sandbox.{os.getpid()}")
    partial.write_text(json.dumps({"sandbox": kind}) + "\n")
    partial.replace(path)
    return kind
