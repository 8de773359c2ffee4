"""Start one child process that cannot outlive its parent.

Run as a script by `launch`, before the real program: in a session of its own (a terminal's Ctrl-C
reaches the supervisor alone, which then stops things in order), as another user where asked, and
with the kernel's promise of a signal when the parent dies, however it dies (Linux). It imports
nothing but the standard library, so that it starts in milliseconds.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

PR_SET_PDEATHSIG = 1


def launch(
    argv: Sequence[str | Path],
    *,
    on_orphan: signal.Signals,
    env: Mapping[str, str] | None = None,
    user: tuple[int, int] | None = None,
    cwd: Path | None = None,
    stdout: IO[bytes] | int | None = None,
) -> "subprocess.Popen[bytes]":
    """Start `argv`, with standard error joined to `stdout`.

    `on_orphan` is what it is sent when this process dies. `user` is (uid, gid) to run as; only root
    may name one. Call it from a thread that lives as long as the process: to the kernel, that
    thread is the parent.
    """
    uid, gid = user or (-1, -1)
    prefix = [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(int(on_orphan)), str(uid), str(gid)]
    return subprocess.Popen(
        [*prefix, *map(str, argv)],
        env=None if env is None else dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.STDOUT if stdout is not None else None,
        start_new_session=True,
    )


def _become(parent: int, on_orphan: int, uid: int, gid: int, argv: list[str]) -> None:
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        # After the change of user: the kernel forgets the signal at every change of credentials.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, on_orphan, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit(1)
    os.execv(argv[0], argv)  # noqa: S606 - replacing this process is the point


if __name__ == "__main__":
    _parent, _signal, _uid, _gid = map(int, sys.argv[1:5])
    _become(_parent, _signal, _uid, _gid, sys.argv[5:])
