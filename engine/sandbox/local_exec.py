"""A command of this machine, run to its end: stdin in, output out within its limit."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.sandbox.output import Output

_CHUNK = 1 << 16


async def run(argv: Sequence[str], env: Mapping[str, str], cwd: Path, stdin: bytes, output: Output) -> int:
    """Its exit code; 128 + N for one that was killed by signal N, as shells say it."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=cwd,
        env=dict(env),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    if process.stdin is None or process.stdout is None or process.stderr is None:
        raise AssertionError("all three were asked for as pipes")
    tasks = [
        asyncio.create_task(_feed(process.stdin, stdin)),
        asyncio.create_task(_pump(process.stdout, output, error=False)),
        asyncio.create_task(_pump(process.stderr, output, error=True)),
    ]
    try:
        await asyncio.gather(*tasks)
        code = await process.wait()
    except BaseException:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        raise
    return code if code >= 0 else 128 - code


async def _feed(pipe: asyncio.StreamWriter, stdin: bytes) -> None:
    with contextlib.suppress(ConnectionError):  # a command need not read what it is given
        pipe.write(stdin)
        await pipe.drain()
        pipe.close()
        await pipe.wait_closed()


async def _pump(pipe: asyncio.StreamReader, output: Output, *, error: bool) -> None:
    while piece := await pipe.read(_CHUNK):
        await output.take(piece, error=error)
