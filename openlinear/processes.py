"""How the two processes of OpenLinear are started, whoever starts them."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from openlinear import frontend
from openlinear.child import launch
from openlinear.resources import PACKAGE
from openlinear.settings import Settings

ROOT = PACKAGE.parent
"""Where `rxconfig` and the packages are importable from."""


@dataclass(frozen=True, slots=True)
class Command:
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    """The whole environment; it holds keys."""
    cwd: Path = ROOT

    def start(self, log: IO[bytes], *, on_orphan: signal.Signals) -> "subprocess.Popen[bytes]":
        """Start it as a child that cannot outlive this process; see `launch`."""
        return launch(self.argv, on_orphan=on_orphan, env=self.env, cwd=self.cwd, stdout=log)


def web(settings: Settings, environ: Mapping[str, str]) -> Command:
    """Pages, API and websocket on one port."""
    argv = (
        *(sys.executable, "-m", "uvicorn", "--factory", "openlinear.openlinear:app"),
        *("--host", settings.api_host, "--port", str(settings.api_port)),
        *("--log-config", str(PACKAGE / "uvicorn.json"), "--no-server-header"),
        *(() if settings.access_log else ("--no-access-log",)),
        *("--timeout-graceful-shutdown", "1"),
        *("--forwarded-allow-ips", settings.trusted_proxies),
    )
    return Command(argv, {**environ, **frontend.serve_environment(settings.openlinear_home)})


def worker(environ: Mapping[str, str], name: str = "main") -> Command:
    """The engine, with the product behind its port. One process a name; see `engine.worker.Name`."""
    argv = (sys.executable, "-m", "engine", "--product", "openlinear.adapters:product", "--name", name)
    return Command(argv, environ)


def migration(environ: Mapping[str, str]) -> Command:
    """A process of its own: what it imports does not stay in the supervisor's memory."""
    return Command((sys.executable, "-m", "openlinear.migrate"), environ)


def job(module: str, environ: Mapping[str, str], *arguments: str) -> Command:
    """`openlinear.backup` or `openlinear.key`: what they import does not stay in the supervisor's memory."""
    return Command((sys.executable, "-m", module, *arguments), environ)


def sandbox(environ: Mapping[str, str]) -> Command:
    """Choose where agents run and build their image where it is missing; a line for each thing done."""
    return Command((sys.executable, "-m", "engine.sandbox"), environ)


def become(command: Command) -> None:
    """Be that process from now on."""
    os.chdir(command.cwd)
    os.execve(command.argv[0], list(command.argv), dict(command.env))  # noqa: S606 - replacing ourselves is the point
