"""A warm `openlinear up`: seconds until the board answers, and what its two processes take when idle."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import httpx
import psutil

from benchmarks.parts import Watch, folder, worker_image
from benchmarks.table import Figures, Series
from openlinear import frontend

REPEATS = 3
IDLE_SECONDS = 10
ROOT = Path(__file__).parent.parent
PROCESSES = {"web": "openlinear.openlinear:app", "engine": "openlinear.adapters:product"}
"""Each process by an argument that only it has."""


async def measure() -> Figures:
    await worker_image()
    frontend.build()
    return await asyncio.to_thread(_measure)


def _measure() -> Figures:
    warm = Series("openlinear up, warm, to a ready board", [])
    with folder("start") as home:
        _run(home)  # makes the database and the keys
        for _ in range(REPEATS):
            seconds, idle = _run(home, settle=IDLE_SECONDS if len(warm.seconds) == REPEATS - 1 else 0)
            warm.seconds.append(seconds)
    facts = [("asked", "at most 5,000 ms"), *idle]
    return Figures("Start", [warm], facts=facts)


def _run(home: Path, settle: float = 0) -> tuple[float, list[tuple[str, str]]]:
    """Start, wait until it is ready, look at it after `settle` seconds and for as long again, stop."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    env = os.environ | {
        "OPENLINEAR_HOME": str(home),
        "API_PORT": str(port),
        "INSTALLATION": f"bench-{uuid.uuid4().hex[:8]}",
    }
    env.pop("DATABASE_URL", None)
    with (home / "up.log").open("ab") as log:
        watch = Watch()
        up = subprocess.Popen(
            [sys.executable, "-m", "openlinear.cli", "up"], cwd=ROOT, env=env, stdout=log, stderr=log
        )
        try:
            _ready(f"http://127.0.0.1:{port}/health", up, home / "up.log")
            seconds = watch.seconds
            time.sleep(settle)
            return seconds, _idle(up.pid, settle)
        finally:
            up.send_signal(signal.SIGINT)
            up.wait(30)


def _ready(url: str, up: "subprocess.Popen[bytes]", log: Path) -> None:
    while up.poll() is None:
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.02)
    raise SystemExit(f"openlinear up ended: {log.read_text()[-500:]}")


def _idle(supervisor: int, seconds: float) -> list[tuple[str, str]]:
    """What each of the two holds, and how much of a core it takes over so long.

    RSS counts what processes share in each of them, PSS divides it between them.
    """
    found = {
        name: process
        for process in psutil.Process(supervisor).children(recursive=True)
        for name, mark in PROCESSES.items()
        if mark in (command := _command(process)) and command[0] == sys.executable
    }
    for process in found.values():
        process.cpu_percent()
    time.sleep(seconds)
    told = []
    for name, process in found.items():
        share, held = process.cpu_percent(), process.memory_full_info()
        told.append((f"processor of the {name} process, idle", f"{share:.1f} % of a core"))
        text = f"{held.rss / 2**20:.0f} MB resident, {held.pss / 2**20:.0f} MB proportional"
        told.append((f"memory of the {name} process, idle", text))
    return told


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:  # it looked for a sandbox, and is done
        return []
