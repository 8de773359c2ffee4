"""One OpenLinear at a time on a home."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from openlinear.errors import StartError


@contextmanager
def only_one(home: Path, what: str) -> Iterator[None]:
    """The home is ours for the block; the kernel lets go of it however we end. `what` tells others of us."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (home / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise StartError(
                f"OpenLinear runs already on {home} ({lock.read().strip() or 'starting'}): "
                "stop it first, or set OPENLINEAR_HOME and API_PORT for a second one."
            ) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()}, {what}")
        lock.flush()
        yield
