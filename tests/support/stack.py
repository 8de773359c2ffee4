"""The whole product on real parts: web, worker, PostgreSQL, Docker, OpenCode, git, GitHub's stand-in.

One stack serves every test of the line: a container takes seconds to start, a web process one.
Tests tell themselves apart by their own user, repository and script.
"""

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from engine.settings import EngineSettings
from openlinear import frontend, processes
from openlinear.settings import Settings
from tests.support.github import GitHubServer, serve_github
from tests.support.gitserver import TOKEN, GitServer, Repo, serve_git
from tests.support.identity import CLIENT_ID, CLIENT_SECRET, IdentityServer
from tests.support.modelserver import ModelServer
from tests.support.postgres import _fresh
from tests.support.sandbox import clean

Json = dict[str, Any]
IDLE_SECONDS = 20
TOTAL_SECONDS = 120
RETRY_LIMIT = 2


@dataclass
class Stack:
    """`environment` is what its processes were started with."""

    url: str
    environment: dict[str, str]
    git: GitServer
    github: GitHubServer
    model: ModelServer
    home: Path
    logs: Path
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    identity: IdentityServer = field(default_factory=lambda: IdentityServer(""))
    """Who signs people in at GitHub, which is at the git server's address."""

    def start(self, name: str, *argv: str) -> None:
        with (self.logs / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", *argv], env=self.environment, stdout=log, stderr=log
            )

    def start_worker(self) -> None:
        self.start("worker", "engine", "--product", "openlinear.adapters:product")

    def start_web(self) -> None:
        settings = Settings(api_port=int(self.url.rpartition(":")[2]), openlinear_home=self.home)
        with (self.logs / "web.log").open("ab") as log:
            command = processes.web(settings, self.environment)
            self.processes["web"] = command.start(log, on_orphan=signal.SIGKILL)

    def wait_ready(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.url}/health").status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        raise AssertionError("the stack did not start:\n" + self.log_tails())

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()

    def log_tails(self) -> str:
        return "\n".join(f"{log.name}:\n{log.read_text()[-3000:]}" for log in sorted(self.logs.glob("*.log")))

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """A look into the database."""
        url = self.environment["DATABASE_URL"].replace("postgresql+psycopg://", "postgresql://")
        with psycopg.connect(url) as connection:
            return connection.execute(query, values).fetchall()  # type: ignore[arg-type]


@dataclass
class Person:
    """Somebody with an account, through the HTTP API."""

    stack: Stack
    http: httpx.AsyncClient
    id: str
    name: str
    email: str

    async def ask(self, method: str, path: str, expect: int = 200, body: Json | None = None) -> Any:
        answer = await self.http.request(method, f"/api{path}", json=body)
        assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def connect_model(self, key: str | None = None) -> None:
        """The scripted model server as this person's provider `scripted`."""
        model = self.stack.model
        await self.ask(
            "POST",
            "/opencode/auth",
            expect=200,
            body={
                "providerId": "scripted",
                "apiKey": key or model.key,
                "baseUrl": f"http://host.docker.internal:{model.port}/v1",
                "models": [model.model],
            },
        )

    async def project(self, repo: Repo, **changes: Any) -> Json:
        body = {
            "name": "A project",
            "cloneUrl": repo.url,
            "remoteUsername": "x-access-token",
            "remotePassword": TOKEN,
            **changes,
        }
        made: Json = await self.ask("POST", "/projects", expect=201, body=body)
        return made

    async def task(self, project: Json, title: str, **changes: Any) -> Json:
        body = {"projectId": project["id"], "title": title, **changes}
        made: Json = await self.ask("POST", "/tasks", expect=201, body=body)
        return made

    async def execute(self, task: Json, **limits: float) -> str:
        """Start a run, with limits of its own where some are given."""
        body = {"limits": limits} if limits else None
        return str((await self.ask("POST", f"/tasks/{task['id']}/execute", expect=202, body=body))["runId"])

    async def until(self, task: Json, reached: Callable[[Json], bool], seconds: float = 90) -> Json:
        """The task, once `reached` says so."""
        deadline = time.monotonic() + seconds
        while True:
            now: Json = await self.ask("GET", f"/tasks/{task['id']}")
            if reached(now):
                return now
            if time.monotonic() > deadline:
                log = [entry["message"] for entry in await self.log(task)]
                raise AssertionError(f"still {now}\n{log}\n{self.stack.log_tails()}")
            await asyncio.sleep(0.1)

    async def ended(self, task: Json, seconds: float = 90) -> Json:
        """The task, once its run has ended."""
        over = ("done", "failed", "cancelled")
        return await self.until(task, lambda now: now["executionStatus"] in over, seconds)

    async def log(self, task: Json) -> list[Json]:
        entries: list[Json] = []
        while True:
            after = entries[-1]["seq"] if entries else 0
            page = await self.ask("GET", f"/tasks/{task['id']}/logs?after={after}")
            if not page["items"]:
                return entries
            entries += page["items"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serve_stack(database: str, folder: Path, **settings: str) -> Iterator[Stack]:
    """A stack of its own on `database`, until the block ends. `settings` are environment variables."""
    frontend.build()
    installation = f"test-{uuid.uuid4().hex[:8]}"
    port = free_port()
    model = ModelServer(host="0.0.0.0").start()
    (folder / "git").mkdir()
    with serve_git(folder / "git") as git, serve_github(token=TOKEN) as github:
        identity = IdentityServer(
            git.url, redirect_uris={f"http://localhost:{port}/api/auth/github/callback"}
        )
        git.identity = identity
        git.tokens = github.accounts = identity.tokens
        environment = {
            **os.environ,
            "DATABASE_URL": database,
            "OPENLINEAR_HOME": str(folder / "home"),
            "OPENLINEAR_SECRET_KEY": secrets.token_hex(32),
            "JWT_SECRET": secrets.token_hex(32),
            "API_PORT": str(port),
            "SANDBOX": "docker",
            "INSTALLATION": installation,
            "ALLOW_LOCAL_REMOTES": "true",
            "GITHUB_URL": git.url,
            "GITHUB_API_URL": github.url,
            "GITHUB_CLIENT_ID": CLIENT_ID,
            "GITHUB_CLIENT_SECRET": CLIENT_SECRET,
            # Tests look into a container after a run: in one that is frozen meanwhile, a command hangs.
            "CONTAINER_IDLE_PAUSE_SECONDS": "120",
            # Ten runs at once in one container, where people have three.
            "CONTAINER_MEMORY_MB": "1024",
            "REQUESTS_PER_MINUTE": "1000000",  # many tests ask as one person, in a hurry
            "REQUESTS_PER_MINUTE_PER_ADDRESS": "1000000",
            "RADAR_SECONDS": "1",
            "RUN_IDLE_SECONDS": str(IDLE_SECONDS),
            "RUN_TOTAL_SECONDS": str(TOTAL_SECONDS),
            "MODEL_RETRY_LIMIT": str(RETRY_LIMIT),
            **settings,
        }
        url, home, logs = f"http://localhost:{port}", folder / "home", folder / "logs"
        stack = Stack(url, environment, git, github, model, home, logs, identity=identity)
        stack.logs.mkdir()
        stack.home.mkdir(exist_ok=True)  # a restored one is there already
        try:
            stack.start_web()
            stack.start_worker()
            stack.wait_ready()
            yield stack
        finally:
            stack.stop()
            model.close()
            clean(EngineSettings(installation=installation))
    assert github.violations == []


@pytest.fixture(scope="session")
def stack(
    postgres_url: str, migrated_template: str, worker_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    for database in _fresh(postgres_url, migrated_template):
        with serve_stack(database, tmp_path_factory.mktemp("stack")) as running:
            yield running


async def register(stack: Stack, http: httpx.AsyncClient, name: str, email: str) -> Person:
    """A new account; `http` carries its token from then on.

    Its runs are tried once, so that faults are told at once; what is tried again has tests of its own.
    """
    body = {"name": name, "email": email, "password": "correct horse battery"}
    answer = await http.post("/api/auth/register", json=body)
    assert answer.status_code == 201, answer.text
    http.cookies.clear()
    http.headers["Authorization"] = f"Bearer {answer.json()['token']}"
    person = Person(stack, http, answer.json()["user"]["id"], name, email)
    await person.ask("PATCH", "/settings", body={"limits": {"attempts": 1}})
    return person
