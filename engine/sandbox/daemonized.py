"""Processes that outlive the engine: started in a session of their own, and found again by a record."""

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from engine.sandbox.reaper import carriers

_started: list[subprocess.Popen[bytes]] = []
"""Children of this process, kept so that their end is collected."""


@dataclass(frozen=True, slots=True)
class Record:
    """One started process. A pid alone may be another process by now, so its start is part of it."""

    pid: int
    since: str
    port: int = 0


def start(
    argv: Sequence[str], env: Mapping[str, str], cwd: Path, *, stdin: Path | None, log: Path, port: int = 0
) -> Record:
    """Start it, its output going to `log`. `stdin` is the file that it reads, if any."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with (stdin or Path(os.devnull)).open("rb") as given, os.fdopen(os.open(log, flags, 0o600), "wb") as said:
        process = subprocess.Popen(
            argv, env=dict(env), cwd=cwd, stdin=given, stdout=said, stderr=said, start_new_session=True
        )
    _started.append(process)
    return Record(process.pid, _since(process.pid) or "", port)


def state(record: Record | None) -> Literal["running", "paused", "gone"]:
    _started[:] = [process for process in _started if process.poll() is None]
    if record is None or _since(record.pid) != record.since:
        return "gone"
    return "paused" if _stat(record.pid)[0] in "Tt" else "running"


def signal_all(marker: bytes, number: signal.Signals) -> None:
    """Send a signal to every process that carries `marker` in its environment."""
    for pid in carriers(marker):
        try:
            os.kill(pid, number)
        except OSError:
            continue


def save(path: Path, record: Record) -> None:
    partial = path.with_suffix(".partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(asdict(record), file)
    partial.replace(path)


def load(path: Path) -> Record | None:
    try:
        return Record(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; the name before them may hold anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["X"]


def _since(pid: int) -> str | None:
    """When the process started, in clock ticks since the machine did; None when it has ended."""
    fields = _stat(pid)
    return None if fields[0] in "ZX" else fields[19]
