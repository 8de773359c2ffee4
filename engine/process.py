"""This worker as a process of its machine: what it is called, and how it and others end when frozen."""

import logging
import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from uuid import uuid4

log = logging.getLogger(__name__)


class Leave(Protocol):
    def __call__(self, code: int) -> None: ...


def leave_when_frozen(lease_seconds: float, leave: Leave) -> None:
    """End a process that was stopped for longer than its lease, the moment it goes on.

    Its runs have other owners by then. A thread of its own, since the event loop would first do what
    was next before it was stopped.
    """
    beat = min(1.0, lease_seconds / 10)

    def watch() -> None:
        last = time.monotonic()
        while True:
            time.sleep(beat)
            if time.monotonic() - last > lease_seconds:
                log.error("was stopped for longer than %.0f s: leaving", lease_seconds)
                leave(1)
            last = time.monotonic()

    threading.Thread(target=watch, name="frozen", daemon=True).start()


def process_id() -> str:
    """What no other worker process is called, ever; on its own machine it tells which process that is."""
    return ":".join([_machine(), str(os.getpid()), _started(os.getpid()) or "", uuid4().hex[:8]])


def end_for_good(worker: str) -> None:
    """Kill a process of this machine that was struck off. Frozen, it would keep the locks of its files."""
    machine, pid, started, _ = worker.rsplit(":", 3)
    if machine == _machine() and started and _started(int(pid)) == started:
        log.warning("killing the worker %s, which gave no sign of life", worker)
        with suppress(OSError):  # gone, or another user's
            os.kill(int(pid), signal.SIGKILL)


def _machine() -> str:
    """Where a pid means the same process: the host, this boot of it, this namespace of pids."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
        return f"{os.uname().nodename}:{boot}:{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return os.uname().nodename


def _started(pid: int) -> str | None:
    """When a process began, in ticks since the boot; None where it is gone or nobody can tell."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None
