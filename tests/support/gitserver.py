"""Git over smart HTTP, as real as it gets: `git http-backend` behind a small server that demands a token."""

import base64
import os
import shutil
import subprocess
import threading
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.identity import IdentityServer
from tests.support.needs import require

TOKEN = "token-of-the-git-server"
Content = bytes | str | tuple[str, bytes | str]
"""A file's content; with a mode before it ("120000", "100755"), or ("160000", sha) for a submodule."""

_CLEAN = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}


def run_git(*args: str, cwd: Path | None = None, stdin: bytes = b"", **env: str) -> bytes:
    """Plain git, for what a test arranges or looks at."""
    return subprocess.run(
        ["git", *args], cwd=cwd, input=stdin, env=_CLEAN | env, check=True, capture_output=True
    ).stdout


@dataclass
class Repo:
    """A repository on the server, and how the server shall behave for it."""

    path: Path
    url: str
    anonymous: bool = False
    fault: int | str | None = None
    """An HTTP status to answer, "hang", "hang-known" (once the token came), or "redirect:URL"."""
    push_fault: int | None = None
    """An HTTP status for pushes alone."""

    def commit(
        self, files: Mapping[str, Content | None], branch: str = "main", message: str = "A change"
    ) -> str:
        """Put a commit on a branch; None removes a file."""
        run_git(
            "fast-import", "--quiet", "--force", cwd=self.path, stdin=self._stream(files, branch, message)
        )
        return self.branches()[branch]

    def _stream(self, files: Mapping[str, Content | None], branch: str, message: str) -> bytes:
        lines = [f"commit refs/heads/{branch}\ncommitter Test <test@example.com> 1700000000 +0000\n".encode()]
        lines.append(b"data %d\n%s\n" % (len(message.encode()), message.encode()))
        if branch in self.branches():
            lines.append(f"from refs/heads/{branch}^0\n".encode())
        for path, given in files.items():
            quoted = '"' + path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
            if given is None:
                lines.append(f"D {quoted}\n".encode())
                continue
            mode, content = given if isinstance(given, tuple) else ("100644", given)
            data = content.encode() if isinstance(content, str) else content
            if mode == "160000":
                lines.append(f"M 160000 {content} {quoted}\n".encode())
            else:
                lines.append(f"M {mode} inline {quoted}\ndata {len(data)}\n".encode() + data + b"\n")
        return b"".join(lines)

    def branches(self) -> dict[str, str]:
        listing = run_git(
            "for-each-ref", "--format=%(refname:lstrip=2) %(objectname)", "refs/heads", cwd=self.path
        )
        return dict(line.split(" ") for line in listing.decode().splitlines())

    def files(self, commit: str) -> list[str]:
        names = run_git("ls-tree", "-r", "-z", "--name-only", commit, cwd=self.path)
        return names.decode().split("\0")[:-1]

    def read(self, commit: str, path: str) -> bytes:
        return run_git("cat-file", "blob", f"{commit}:{path}", cwd=self.path)

    def show(self, commit: str, form: str) -> str:
        return run_git("show", "--no-patch", f"--format={form}", commit, cwd=self.path).decode().strip()

    def refuse_pushes(self, message: str) -> None:
        """Have a pre-receive hook say `message` and refuse."""
        hook = self.path / "hooks" / "pre-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ncat >&2 <<'EOF'\n{message}\nEOF\nexit 1\n")
        hook.chmod(0o755)


@dataclass
class GitServer:
    """`url` is where it answers; `requests` are (method, path, password or None), as they came."""

    root: Path
    url: str
    token: str = TOKEN
    tokens: Container[str | None] = ()
    """What counts beside `token`."""
    identity: IdentityServer | None = None
    """Who signs people in at this address, as at GitHub."""
    repos: dict[str, Repo] = field(default_factory=dict)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def create(
        self,
        name: str,
        files: Mapping[str, Content] | None = None,
        *,
        branch: str = "main",
        anonymous: bool = False,
    ) -> Repo:
        """A repository `owner/name`; without files it is empty."""
        path = self.root / f"{name}.git"
        run_git("init", "--quiet", "--bare", "--template=", f"--initial-branch={branch}", str(path))
        repo = self.repos[name] = Repo(path, f"{self.url}/{name}.git", anonymous)
        if files:
            repo.commit(files, branch, "First")
        return repo


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    git: GitServer

    def log_message(self, *_: object) -> None:
        """Quiet: `GitServer.requests` tells what came."""

    def handle(self) -> None:
        """Who hangs up in the middle is part of the tests, not an error."""
        with suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self._body())

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = bytearray()
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return bytes(body)

    def _answer(self, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        if self.git.identity is not None and path.startswith("/login/oauth/"):
            return self._send(*self.git.identity.answer(self.command, self.path, self.headers, body))
        password = self._password()
        self.git.requests.append((self.command, self.path, password))
        owner_and_name = "/".join(path.split("/")[1:3]).removesuffix(".git")
        repo = self.git.repos.get(owner_and_name)
        pushing = "git-receive-pack" in self.path
        if repo is None:
            return self._say(404 if password == self.git.token else 401, "Not found\n")
        if repo.fault == "hang-known" and password is not None:
            repo.fault = "hang"
        if repo.fault != "hang-known" and self._faulty(repo, pushing):
            return None
        known = password == self.git.token or password in self.git.tokens
        if not known and (pushing or not repo.anonymous or password is not None):
            return self._say(401, "No\n")
        return self._backend(path, query, body, password is not None)

    def _password(self) -> str | None:
        scheme, _, value = self.headers.get("Authorization", "").partition(" ")
        if scheme != "Basic":
            return None
        return base64.b64decode(value).decode().partition(":")[2]

    def _faulty(self, repo: Repo, pushing: bool) -> bool:
        fault = repo.push_fault if pushing and repo.push_fault else repo.fault
        if fault == "hang":
            self.git.stopping.wait(60)
            self.close_connection = True
        elif isinstance(fault, str):
            self.send_response(302)
            self.send_header("Location", fault.removeprefix("redirect:") + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif fault is not None:
            self._say(fault, "A fault\n")
        return fault is not None

    def _say(self, status: int, text: str) -> None:
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def _send(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _backend(self, path: str, query: str, body: bytes, known: bool) -> None:
        env = _CLEAN | {
            "GIT_PROJECT_ROOT": str(self.git.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        if known:
            env["REMOTE_USER"] = "user"
        done = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self._send(int(headers.pop("Status", "200").split(" ")[0]), headers, content)


@contextmanager
def serve_git(root: Path, *, bind: str = "127.0.0.1", token: str = TOKEN) -> Iterator[GitServer]:
    """A git server on a free port of `bind`, until the block ends."""
    server = GitServer(root, "", token)
    http = ThreadingHTTPServer((bind, 0), type("Handler", (_Handler,), {"git": server}))
    http.daemon_threads = True
    host = "127.0.0.1" if bind == "0.0.0.0" else bind
    server.url = f"http://{host}:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.stopping.set()
        http.shutdown()
        thread.join()
        http.server_close()


@pytest.fixture
def git_server(tmp_path: Path) -> Iterator[GitServer]:
    require(shutil.which("git") is not None, "git", "apt-get install git")
    root = tmp_path / "remote"
    root.mkdir()
    with serve_git(root) as server:
        yield server
