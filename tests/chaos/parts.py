"""The parts of an installation that may be killed, and what brings each of them back."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import docker
import psutil
from docker.errors import DockerException

from openlinear.child import launch
from openlinear.embedded import EmbeddedPostgres
from openlinear.errors import StartError

POLL_SECONDS = 0.02


class Part(Protocol):
    """`start` blocks until the process runs, or answers where that matters to what starts after it."""

    name: str

    @property
    def process(self) -> "subprocess.Popen[bytes] | None": ...

    def start(self) -> None: ...


class Program:
    """A part that is one process of ours: a worker, or the web server."""

    def __init__(self, name: str, start: Callable[[], "subprocess.Popen[bytes]"]) -> None:
        self.name = name
        self.process: subprocess.Popen[bytes] | None = None
        self._start = start

    def start(self) -> None:
        self.process = self._start()


class Database:
    """PostgreSQL. It keeps what it has committed when it is killed, so it may not answer early."""

    name = "postgres"

    def __init__(self, home: Path) -> None:
        # A process that is killed loses no page that the system has: only a machine that is.
        self.server = EmbeddedPostgres(home, {"fsync": "off", "max_connections": "300"})

    @property
    def process(self) -> "subprocess.Popen[bytes] | None":
        return self.server.process

    def start(self) -> None:
        deadline = time.monotonic() + 30
        while True:
            try:
                self.server.start()
                return
            except StartError:  # its predecessor's children hold the shared memory for a moment
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)


class Dockerd:
    """A Docker engine of the suite's own: own socket, data, bridge addresses; no rule of the firewall's.

    Published ports go through its proxy processes, and containers reach this machine through their gateway.
    """

    name = "dockerd"

    def __init__(self, root: Path) -> None:
        self.root = root
        self.host = f"unix://{root}/d.sock"
        self.live_restore = True
        self.process: subprocess.Popen[bytes] | None = None
        digit = os.getpid() % 200
        self._net = f"10.213.{digit}"

    def start(self) -> None:
        self._forget_the_dead()
        unique = f"olchaos-{os.getpid()}"
        argv: list[str | Path] = [
            shutil.which("dockerd", path="/usr/sbin:/usr/bin:/sbin:" + os.environ["PATH"]) or "dockerd",
            *("--host", self.host, "--data-root", self.root / "data", "--exec-root", self.root / "exec"),
            *("--pidfile", self.root / "d.pid", "--bridge", "none", "--mtu", "1400"),
            *("--iptables=false", "--ip-masq=false", "--ip-forward=false"),
            *("--default-address-pool", f"base={self._net}.0/24,size=26"),
            *("--host-gateway-ip", f"{self._net}.1"),
            *(
                "--containerd-namespace",
                unique,
                "--containerd-plugins-namespace",
                f"{unique}-plugins",
            ),
            *(["--live-restore"] if self.live_restore else []),
        ]
        with (self.root / "dockerd.log").open("ab") as log:
            self.process = launch(argv, on_orphan=signal.SIGTERM, stdout=log)
        deadline = time.monotonic() + 60
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                tail = (self.root / "dockerd.log").read_text()[-2000:]
                raise AssertionError(f"the private Docker engine did not start:\n{tail}")
            time.sleep(POLL_SECONDS)

    def _forget_the_dead(self) -> None:
        """The pid files of a killed engine; its containerd dies with it, and may be a zombie for long."""
        below = self.root / "exec" / "containerd" / "containerd.pid"
        with suppress(OSError, ValueError, psutil.Error):
            containerd = psutil.Process(int(below.read_text()))
            while containerd.is_running() and containerd.status() != psutil.STATUS_ZOMBIE:
                time.sleep(POLL_SECONDS)
        for file in (below, self.root / "d.pid"):
            file.unlink(missing_ok=True)

    def client(self) -> docker.DockerClient:
        return docker.DockerClient(base_url=self.host, timeout=30)

    def answers(self) -> bool:
        with suppress(DockerException, OSError):
            client = docker.DockerClient(base_url=self.host, timeout=5)
            try:
                return bool(client.ping())
            finally:
                client.close()
        return False

    def load(self, image: str) -> None:
        """The machine's own image, brought over."""
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saving:
            subprocess.run(
                ["docker", "--host", self.host, "load", "--quiet"],
                stdin=saving.stdout,
                check=True,
                capture_output=True,
            )

    def discard(self) -> None:
        """Everything it has made, and itself."""
        if self.process is None:
            return
        client = self.client()
        for container in client.containers.list(all=True):
            container.remove(force=True)
        for network in client.networks.list(filters={"type": "custom"}):
            network.remove()
        client.close()
        self.process.terminate()
        self.process.wait(20)
        below = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in sorted((one for one in below if one.startswith(f"{self.root}/")), reverse=True):
            subprocess.run(["umount", "--lazy", mount], check=True)
        shutil.rmtree(self.root)


def worker(number: int, environment: dict[str, str], logs: Path, host: str) -> Program:
    """An engine worker on a machine of this name, which takes up the name of the worker before it."""
    name = f"worker-{number}"
    engine = [sys.executable, "-m", "engine", "--product", "openlinear.adapters:product", "--name", name]

    def start() -> "subprocess.Popen[bytes]":
        argv = ["/usr/bin/unshare", "--uts", "--", "sh", "-c", 'hostname "$0" && exec "$@"', host, *engine]
        with (logs / f"{name}.log").open("ab") as log:
            return launch(argv, on_orphan=signal.SIGKILL, env=environment, stdout=log)

    return Program(name, start)


class Supervisor:
    """Starts each part, and starts it again when it has ended, as the system's own supervisor would."""

    def __init__(self) -> None:
        self.pause: dict[str, float] = {}
        """Seconds until a part that has ended is started again; some 0.2 unless named."""
        self.restarts: Counter[str] = Counter()
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    def keep(self, part: Part) -> None:
        self._tasks.append(asyncio.create_task(self._keep(part)))

    async def _keep(self, part: Part) -> None:
        while not self._stopping:
            if part.process is None or part.process.poll() is not None:
                await asyncio.sleep(self.pause.pop(part.name, 0.2))
                await asyncio.to_thread(part.start)
                self.restarts[part.name] += 1
            await asyncio.sleep(POLL_SECONDS)

    async def stop(self) -> None:
        """Let what is being started finish that, and start nothing more."""
        self._stopping = True
        await asyncio.gather(*self._tasks)
