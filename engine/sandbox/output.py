"""What a command in a sandbox prints: kept or streamed to a file, and never more than its limit."""

import asyncio
from typing import BinaryIO

from engine.errors import RunError


class Output:
    """Collects stdout and stderr of one command. Over `limit` bytes in all, `take` raises RunError."""

    def __init__(self, stdout: BinaryIO | None, limit: int) -> None:
        self._file = stdout
        self._limit = limit
        self._size = 0
        self.stdout = bytearray()
        self.stderr = bytearray()

    async def take(self, data: bytes, *, error: bool = False) -> None:
        self._size += len(data)
        if self._size > self._limit:
            raise RunError(
                f"A command in the sandbox printed more than its limit of {self._limit:,} bytes.", "limit"
            )
        if error:
            self.stderr += data
        elif self._file is None:
            self.stdout += data
        else:
            await asyncio.to_thread(self._file.write, data)


def timed_out(argv0: str, timeout: float) -> RunError:
    return RunError(
        f"{argv0} did not end within {timeout:g} seconds in the sandbox and was stopped.", "timeout"
    )
