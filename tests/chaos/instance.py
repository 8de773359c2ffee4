"""One installation that may be hurt anywhere: every part is real, its own, and comes back by itself."""

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from openlinear import frontend, processes
from openlinear.migrate import migrate
from openlinear.settings import Settings
from tests.chaos.books import TRIGGER, Books
from tests.chaos.parts import Database, Dockerd, Part, Program, Supervisor, worker
from tests.chaos.proxy import Wire
from tests.support.github import serve_github
from tests.support.gitserver import TOKEN, serve_git
from tests.support.modelserver import ModelServer
from tests.support.stack import Stack, free_port

HEARTBEAT_SECONDS, LEASE_SECONDS = 1.0, 5.0
IMAGE = "opencode-worker:latest"


@dataclass
class Instance:
    stack: Stack
    folder: Path
    books: Books
    supervisor: Supervisor
    postgres: Database
    dockerd: Dockerd
    web: Program
    workers: list[Program]
    """The last one is on another machine, as far as it can tell: the others cannot kill it."""
    remote: Wire
    github: Wire

    async def whole(self) -> None:
        """Wait until every part is there again."""
        parts: list[Part] = [self.postgres, self.dockerd, self.web, *self.workers]
        async with asyncio.timeout(60):
            while any(part.process is None or part.process.poll() is not None for part in parts):
                await asyncio.sleep(0.05)
        await answering(self.stack)

    @property
    def temporary(self) -> Path:
        """Where the workers put temporary files."""
        return self.folder / "tmp"

    def worker_of(self, owner: str | None) -> Program | None:
        """The live worker process of this id (see `engine.process.process_id`)."""
        pid = int(owner.rsplit(":", 3)[1]) if owner else None
        for one in self.workers:
            if one.process is not None and one.process.poll() is None and one.process.pid == pid:
                return one
        return None


def _environment(folder: Path, database: str, dockerd: Dockerd, port: int, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        "DATABASE_URL": database,
        "OPENLINEAR_HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "OPENLINEAR_SECRET_KEY": secrets.token_hex(32),
        "JWT_SECRET": secrets.token_hex(32),
        "API_PORT": str(port),
        "SANDBOX": "docker",
        "DOCKER_HOST": dockerd.host,
        "INSTALLATION": "chaos",
        "ALLOW_LOCAL_REMOTES": "true",
        "CONTAINER_IDLE_PAUSE_SECONDS": "4",
        "CONTAINER_IDLE_TIMEOUT_MS": "6000",
        "CONTAINER_MEMORY_MB": "1024",
        "RUN_IDLE_SECONDS": "90",
        "RUN_TOTAL_SECONDS": "300",
        "WORKER_HEARTBEAT_SECONDS": str(HEARTBEAT_SECONDS),
        "WORKER_LEASE_SECONDS": str(LEASE_SECONDS),
        **more,
    }


def _folder() -> Path:
    """Short, since sockets are in there; and passable for PostgreSQL's own user."""
    folder = Path(tempfile.mkdtemp(prefix="olchaos-", dir="/tmp"))
    folder.chmod(0o755)
    for name in ("git", "logs", "tmp", "docker"):
        (folder / name).mkdir()
    return folder


def _discard(folder: Path, keep_logs: bool) -> None:
    if keep_logs:
        print(f"logs: {shutil.move(folder / 'logs', tempfile.mkdtemp(prefix='openlinear-chaos-logs-'))}")
    shutil.rmtree(folder)


@asynccontextmanager
async def serve_instance(workers: int, *, keep_logs: bool = False) -> AsyncIterator[Instance]:
    """An installation with so many workers, until the block ends. Its Docker engine needs root."""
    await asyncio.to_thread(frontend.build)
    folder = _folder()
    postgres, dockerd = Database(folder / "home"), Dockerd(folder / "docker")
    model = ModelServer(host="0.0.0.0").start()
    with ExitStack() as servers:
        servers.callback(_discard, folder, keep_logs)
        servers.callback(model.close)
        git = servers.enter_context(serve_git(folder / "git"))
        github = servers.enter_context(serve_github(token=TOKEN))
        remote, forge = Wire(int(git.url.rpartition(":")[2])), Wire(int(github.url.rpartition(":")[2]))
        await asyncio.gather(remote.mend(), forge.mend())
        git.url = f"http://127.0.0.1:{remote.port}"
        port = free_port()
        try:
            await asyncio.gather(asyncio.to_thread(postgres.start), asyncio.to_thread(dockerd.start))
            database = postgres.server.url
            await asyncio.gather(asyncio.to_thread(migrate, database), asyncio.to_thread(dockerd.load, IMAGE))
            urls = {"GITHUB_URL": git.url, "GITHUB_API_URL": f"http://127.0.0.1:{forge.port}"}
            environment = _environment(folder, database, dockerd, port, **urls)
            stack = Stack(
                f"http://localhost:{port}", environment, git, github, model, folder / "home", folder / "logs"
            )
            instance = Instance(
                stack,
                folder,
                Books(database),
                Supervisor(),
                postgres,
                dockerd,
                Program("web", lambda: _web(stack)),
                [
                    worker(number, environment, stack.logs, "elsewhere" if number == workers - 1 else "here")
                    for number in range(workers)
                ],
                remote,
                forge,
            )
            await instance.books.rows(TRIGGER)
            try:
                parts: list[Part] = [postgres, dockerd, instance.web, *instance.workers]
                for part in parts:
                    instance.supervisor.keep(part)
                await answering(stack)
                yield instance
            finally:
                await instance.supervisor.stop()
                for program in (*instance.workers, instance.web):
                    if program.process is not None:
                        program.process.kill()
                        program.process.wait()
                await instance.books.close()
        finally:
            await asyncio.to_thread(dockerd.discard)
            await asyncio.to_thread(postgres.server.stop)
            await asyncio.gather(remote.cut(), forge.cut())
    assert github.violations == []


def _web(stack: Stack) -> "subprocess.Popen[bytes]":
    settings = Settings(api_port=int(stack.url.rpartition(":")[2]), openlinear_home=stack.home)
    with (stack.logs / "web.log").open("ab") as log:
        return processes.web(settings, stack.environment).start(log, on_orphan=signal.SIGKILL)


async def answering(stack: Stack, seconds: float = 60) -> None:
    async with asyncio.timeout(seconds), httpx.AsyncClient() as http:
        while True:
            try:
                if (await http.get(f"{stack.url}/health")).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.05)
