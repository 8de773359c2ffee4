"""The real parts that benchmarks run on, each gone when its block ends."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker

from engine.ports import Box, Sandbox
from engine.sandbox import container as spec
from engine.sandbox.image import ensure_image
from engine.settings import EngineSettings
from openlinear.embedded import EmbeddedPostgres
from openlinear.migrate import migrate


@contextmanager
def folder(name: str) -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix=f"openlinear-bench-{name}-"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made)


@contextmanager
def database(**options: str) -> Iterator[str]:
    """URL of a fresh, migrated database, as the product embeds it: no corner is cut for speed."""
    with folder("pg") as home:
        server = EmbeddedPostgres(home, options)
        try:
            url = server.start()
            migrate(url)
            yield url
        finally:
            server.stop()


async def worker_image() -> None:
    """Have the worker's image there before anything is timed."""
    if problem := await ensure_image(EngineSettings(), quiet):
        raise SystemExit(problem)


async def quiet(_: str) -> None:
    """A report that nobody reads."""


@dataclass(frozen=True)
class Inside:
    """Commands inside a user's sandbox, as a bare script would run them."""

    sandbox: Sandbox
    box: Box

    async def sh(self, script: str, *args: str) -> str:
        """Run a shell script to its end; what it printed. RuntimeError when it failed."""
        done = await self.sandbox.exec(self.box, ["sh", "-euc", script, "sh", *args], timeout=60)
        if done.exit_code:
            raise RuntimeError(f"{script}: {done.stderr.decode(errors='replace')}")
        return done.stdout.decode()

    async def put_aside(self, path: str) -> None:
        """Take a folder out of the way. Removing it would slow the next way down: file systems without a
        journal do not use the inodes of files that were just removed, and look at each of them.
        """
        await self.sh('mkdir -p "$2"; mv "$1" "$2/$$-$(date +%N)"', path, str(self.box.repos / ".aside"))

    async def bare_mirror(self, objects: str, commit: str) -> str:
        """A bare repository beside the workspaces, equal to the mirror: what floors check out from."""
        script = """
            git init --quiet --bare "$1"
            mkdir -p "$1/objects/info" && echo "$2" >"$1/objects/info/alternates"
            git -C "$1" update-ref refs/heads/main "$3"
        """
        path = str(self.box.repos / "floor.git")
        await self.sh(script, path, objects, commit)
        return path


class Watch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began


def remove_containers(settings: EngineSettings) -> None:
    """Remove every container, volume and network of one installation."""
    client = docker.from_env()
    label = {"label": [f"{key}={value}" for key, value in spec.labels(settings).items()]}
    for container in client.containers.list(all=True, filters=label):
        container.remove(force=True)
    for thing in [*client.volumes.list(filters=label), *client.networks.list(filters=label)]:
        thing.remove()
    client.close()
