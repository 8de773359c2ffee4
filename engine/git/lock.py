"""A lock between processes, on a file beside what it guards."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from engine.errors import RunError

_POLL_SECONDS = 0.02


@asynccontextmanager
async def locked(path: Path, *, timeout: float = 900.0) -> AsyncIterator[int]:
    """Hold the lock; yields its descriptor.

    Handed on to a child process, the descriptor keeps the lock for as long as that child lives, even
    when this process is killed. RunError when others hold it for `timeout` seconds.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        await _take(descriptor, timeout)
        yield descriptor
    finally:
        os.close(descriptor)


async def _take(descriptor: int, timeout: float) -> None:
    try:
        async with asyncio.timeout(timeout):
            while not _try(descriptor):  # noqa: ASYNC110 - other processes set no Event
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError as error:
        raise RunError("Other runs kept this project's repository busy for too long.", "timeout") from error


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
