"""One git process: its environment made from nothing, its output bounded, its end certain."""

import asyncio
import os
import re
import resource
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from git.cmd import Git

from engine.errors import RunError

T = TypeVar("T")

_POOL = ThreadPoolExecutor(64, thread_name_prefix="git")  # asyncio's own pool is small and others need it

_KEPT = {"PATH", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO"}
_PROXIES = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
_KEPT |= _PROXIES | {name.upper() for name in _PROXIES}

_ENVIRONMENT = {
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
}
_CONFIG = {
    "core.hooksPath": os.devnull,
    "core.attributesFile": os.devnull,
    "core.excludesFile": os.devnull,
    "core.fsmonitor": "false",
    "credential.helper": "",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "advice.detachedHead": "false",
}

MEBIBYTE = 1 << 20
MEMORY = 4096 * MEBIBYTE
"""Of a git that is talked to: a few small objects can stand for billions of files."""


class GitError(Exception):
    """Git said no. Callers turn it into a RunError where a person can act on it."""

    def __init__(self, code: int, stderr: str, stdout: bytes = b"") -> None:
        super().__init__(f"git ended with {code}: {stderr[-500:]}")
        self.code = code
        self.stderr = stderr
        self.stdout = stdout


@dataclass(frozen=True, slots=True)
class Output:
    code: int
    stdout: bytes
    stderr: str
    cut: bool = False
    """More came than was asked for; git was ended there."""

    @property
    def line(self) -> str:
        return self.stdout.decode(errors="replace").strip()


async def git(
    *args: str,
    git_dir: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: bytes | BinaryIO = b"",
    descriptors: Sequence[int] = (),
    limit: int = 256 * MEBIBYTE,
    accept: Sequence[int] = (0,),
    timeout: float = 120.0,
) -> Output:
    """Run git to its end; a cancelled or timed-out one is dead before this returns.

    `limit` bounds stdout in bytes, `accept` names the exit codes that are answers. Raises GitError
    for the others, and RunError for a full disk or when `timeout` seconds have passed.
    """
    given = _environment(git_dir, environment)
    call = _Call(_command(args, given), given, stdin, tuple(descriptors), limit)
    output = await _bounded(call, call.run, timeout)
    if output.code not in accept and not output.cut:
        raise _refusal(output.code, output.stderr, output.stdout)
    return output


async def converse(
    *args: str, talk: Callable[[BinaryIO, BinaryIO], T], git_dir: Path | None = None, timeout: float = 120.0
) -> T:
    """Run git and give its stdin and stdout to `talk`, in a thread; what that returned.

    `talk` may block, and raises EOFError where git says no more. Git is dead before this returns, however it
    ends: as soon as `talk` has its answers. Raises as `git` does.
    """
    given = _environment(git_dir, None)
    call = _Call(_command(args, given), given, b"", (), 0)
    return await _bounded(call, lambda: call.converse(talk), timeout)


async def _bounded(call: "_Call", work: Callable[[], T], timeout: float) -> T:
    """The call's work in a thread, ended with its process when time is up or nobody wants it any more."""
    running = asyncio.get_running_loop().run_in_executor(_POOL, work)
    try:
        await asyncio.wait({running}, timeout=timeout)
    finally:
        late = not running.done()
        if late:
            call.kill()
            await asyncio.wait({running})
            running.exception()  # seen: it tells of nothing but the end that we made
    if late:
        raise RunError(f"git did not finish within {timeout:g} seconds and was ended.", "timeout")
    return running.result()


def _refusal(code: int, stderr: str, stdout: bytes = b"") -> Exception:
    return disk_full() if "No space left on device" in stderr else GitError(code, stderr, stdout)


def disk_full() -> RunError:
    return RunError("The server's disk is full. Free some space, then run the task again.", "disk")


def plain(text: str, *secrets: str, limit: int = 600) -> str:
    """What a stranger said, fit to be quoted: no control characters, no secret, and not too long."""
    for secret in filter(None, secrets):
        text = text.replace(secret, "…")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    text = re.sub(r"[^\S\n]*[\x00-\x09\x0b-\x1f\x7f-\x9f]+[^\S\n]*", " ", text)
    return text.strip()[:limit]


def _environment(git_dir: Path | None, extra: Mapping[str, str] | None) -> dict[str, str]:
    where = {"GIT_DIR": str(git_dir)} if git_dir else {}
    return _ENVIRONMENT | where | dict(extra or {})


def _command(args: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """GitPython hands on all of this process's environment, the server's secrets too: `env -u` takes out
    what git does not need. Only names of variables become arguments."""
    unset = [f"--unset={name}" for name in os.environ if name not in _KEPT and name not in environment]
    config = [part for key, value in _CONFIG.items() for part in ("-c", f"{key}={value}")]
    return ["env", *unset, "git", *config, *args]


class _Call:
    """A process and the threads that talk to it. `run` blocks; `kill` may come at any moment."""

    def __init__(
        self,
        command: list[str],
        environment: dict[str, str],
        stdin: bytes | BinaryIO,
        descriptors: tuple[int, ...],
        limit: int,
    ) -> None:
        self._command = command
        self._environment = environment
        self._stdin = stdin
        self._descriptors = descriptors
        self._limit = limit
        self._lock = threading.Lock()
        self._killed = False
        self._wrapper: Git.AutoInterrupt | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> Output:
        process = self._start()
        if process is None:
            return Output(-signal.SIGKILL, b"", "")
        with ThreadPoolExecutor(2) as helpers:
            stderr = helpers.submit(_tail, cast(BinaryIO, process.stderr))
            if isinstance(self._stdin, bytes):
                helpers.submit(_feed, cast(BinaryIO, process.stdin), self._stdin)
            stdout = cast(BinaryIO, process.stdout).read(self._limit + 1)
            cut = len(stdout) > self._limit
            if cut:
                self.kill()
            code = process.wait()
            return Output(code, stdout[: self._limit], stderr.result(), cut)

    def converse(self, talk: Callable[[BinaryIO, BinaryIO], T]) -> T:
        process = self._start()
        if process is None:
            raise GitError(-signal.SIGKILL, "")
        _hold(process.pid)
        with ThreadPoolExecutor(1) as helper:
            stderr = helper.submit(_tail, cast(BinaryIO, process.stderr))
            try:
                return talk(cast(BinaryIO, process.stdin), cast(BinaryIO, process.stdout))
            except (EOFError, BrokenPipeError) as error:
                raise _refusal(process.wait(), stderr.result()) from error
            finally:
                self.kill()
                process.wait()

    def _start(self) -> "subprocess.Popen[bytes] | None":
        """The process, unless it was to be killed before it began."""
        with self._lock:
            if self._killed:
                return None
            # Kept until the end: GitPython ends the process when its wrapper is collected.
            self._wrapper = Git("/").execute(
                self._command,
                istream=subprocess.PIPE if isinstance(self._stdin, bytes) else self._stdin,
                env=self._environment,
                as_process=True,
                start_new_session=True,
                pass_fds=self._descriptors,
            )
            self._process = cast("subprocess.Popen[bytes]", self._wrapper.proc)
            return self._process

    def kill(self) -> None:
        """End git and what it started: they are a session of their own."""
        with self._lock:
            self._killed = True
            if self._process is not None and self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)


def _hold(pid: int) -> None:
    """Bound what the process may take for itself; the packs that it looks into do not count."""
    with suppress(AttributeError, ProcessLookupError):  # not every system can
        resource.prlimit(pid, resource.RLIMIT_DATA, (MEMORY, MEMORY))


def _feed(pipe: BinaryIO, content: bytes) -> None:
    with suppress(BrokenPipeError), pipe:
        pipe.write(content)


def _tail(pipe: BinaryIO) -> str:
    """All of stderr is read, so that git never waits for us; its last part is kept."""
    chunks: deque[bytes] = deque(iter(lambda: pipe.read(4096), b""), maxlen=16)
    return b"".join(chunks).decode(errors="replace")
