"""A den for hostile agents: a stack of two people, canaries to be reached, and a control without a cage."""

import json
import socket
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest

from engine.sandbox import container as spec
from engine.settings import EngineSettings
from tests.support.modelserver import Bash, Turn
from tests.support.postgres import _fresh
from tests.support.stack import Person, Stack, register, serve_stack

PROBE = Path(__file__).parents[1] / "integration" / "hostile" / "probe.py"
MOST_FILE_MB = 64
MOST_GB = 0.5
OWN = "a-word-of-the-agents-own-repository"
Attempts = dict[str, list[Any]]
"""Name → function of the probe and its arguments."""


@dataclass
class Canary:
    """A small server; `hits` are the paths it was asked for, or the names."""

    port: int
    hits: list[str] = field(default_factory=list)


@contextmanager
def http_canary(host: str) -> Iterator[Canary]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            canary.hits.append(self.path.strip("/"))
            self.send_response(200)
            self.send_header("Content-Length", "6")
            self.end_headers()
            self.wfile.write(b"canary")

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer((host, 0), Handler)
    canary = Canary(server.server_port)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield canary
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def dns_canary() -> Iterator[Canary]:
    """Answers each question with 192.0.2.7 (of the documentation's network)."""
    way = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    way.bind(("0.0.0.0", 0))
    canary = Canary(way.getsockname()[1])

    def serve() -> None:
        while True:
            try:
                question, asker = way.recvfrom(512)
            except OSError:
                return
            canary.hits.append(question[13 : 13 + question[12]].decode(errors="replace"))
            head = question[:2] + b"\x81\x80" + question[4:6] + b"\0\1\0\0\0\0"
            answer = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\xc0\0\2\7"
            way.sendto(head + question[12:] + answer, asker)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield canary
    finally:
        way.close()


@dataclass
class Den:
    """Mallory's agents are hostile, Alice has what they are after. `listed` is on everybody's list of hosts,
    `unlisted` is not; both listen at all addresses, `inward` on loopback alone.
    """

    stack: Stack
    mallory: Person
    alice: Person
    listed: Canary
    unlisted: Canary
    inward: Canary
    names: Canary
    said: dict[str, list[str]] = field(default_factory=dict)
    """The log of each run of `tried`."""

    @property
    def settings(self) -> EngineSettings:
        return EngineSettings(installation=self.stack.environment["INSTALLATION"])

    def container(self, person: Person) -> Any:
        name = f"opencode-user-{person.id}-{self.stack.environment['INSTALLATION']}"
        return docker.from_env().containers.get(name)

    def gateway(self, network: str) -> str:
        """This machine's address on a network of the installation."""
        found = docker.from_env().networks.get(network)
        return str(found.attrs["IPAM"]["Config"][0]["Gateway"])

    @property
    def inner(self) -> str:
        return self.gateway(spec.inner_name(self.settings))

    @property
    def outer(self) -> str:
        return self.gateway(spec.network_name(self.settings))

    async def tried(
        self, person: Person, name: str, attempts: Attempts, seconds: float = 60
    ) -> dict[str, str]:
        """What the attempts came to, made by the real agent of a run of this person."""
        stack = self.stack
        files = {"probe.py": PROBE.read_text(), "attempts.json": json.dumps(attempts), "own.txt": OWN}
        repo = stack.git.create(f"hostile/{name}", files)
        result = f"/home/opencode/.cache/{name}.json"
        command = f"python3 probe.py < attempts.json > {result}; echo ended"
        script = stack.model.script(name, Turn("Looking around.", [Bash(command)]), Turn("Done."))
        task = await person.task(await person.project(repo), "Look around", description=script)
        await person.execute(task)
        await person.ended(task, seconds)
        self.said[name] = [entry["message"] for entry in await person.log(task)]
        done = self.container(person).exec_run(["cat", result])
        assert done.exit_code == 0, (await person.log(task), done.output)
        return dict(json.loads(done.output))

    def inside(self, person: Person, attempts: Attempts) -> dict[str, str]:
        """What the attempts come to now, beside the agent in its container."""
        argv = ["docker", "exec", "-i", self.container(person).id, "python3", "-c", PROBE.read_text()]
        done = subprocess.run(argv, input=json.dumps(attempts), capture_output=True, text=True, check=True)
        return dict(json.loads(done.stdout))

    def control(self, attempts: Attempts) -> dict[str, str]:
        """The same attempts from a container of the same image on an ordinary network."""
        argv = ["docker", "run", "--rm", "-i", "--network", spec.network_name(self.settings)]
        argv += ["--entrypoint", "python3", "opencode-worker:latest", "-c", PROBE.read_text()]
        done = subprocess.run(argv, input=json.dumps(attempts), capture_output=True, text=True, check=True)
        return dict(json.loads(done.stdout))


@pytest.fixture(scope="session")
async def den(
    postgres_url: str, migrated_template: str, worker_image: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Den]:
    with ExitStack() as open_now:
        listed, unlisted = (open_now.enter_context(http_canary("0.0.0.0")) for _ in range(2))
        inward = open_now.enter_context(http_canary("127.0.0.1"))
        names = open_now.enter_context(dns_canary())
        for database in _fresh(postgres_url, migrated_template):
            folder = tmp_path_factory.mktemp("den")
            limits = {"CONTAINER_FILE_MB": str(MOST_FILE_MB), "USER_DISK_GB": str(MOST_GB)}
            hosts = {"EGRESS_HOSTS": f"host.docker.internal:{listed.port}"}
            with serve_stack(database, folder, **limits, **hosts) as stack:
                async with (
                    httpx.AsyncClient(base_url=stack.url, timeout=40) as one,
                    httpx.AsyncClient(base_url=stack.url, timeout=40) as other,
                ):
                    mallory = await register(stack, one, "Mallory", "mallory@example.org")
                    alice = await register(stack, other, "Alice", "alice@example.org")
                    for person in (mallory, alice):
                        await person.connect_model()
                    yield Den(stack, mallory, alice, listed, unlisted, inward, names)
