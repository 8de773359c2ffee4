"""A command in a container, over the engine's hijacked connection: stdin in, framed output out."""

import asyncio
import contextlib
import json
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from docker.errors import APIError

from engine.errors import RunError
from engine.sandbox.daemon import AWAY, Daemon
from engine.sandbox.output import Output

MARKER = "OPENLINEAR_EXEC"
_REAPER = Path(__file__).with_name("reaper.py").read_bytes()
_HEADER = struct.Struct(">BxxxL")
_CHUNK = 1 << 16


class _Wire:
    """A hijacked exec connection.

    Spoken here and not through the SDK, which leaves what came along with the headers in a buffer of its own
    and may hand the connection out again.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls, socket_path: str, api_version: str, exec_id: str) -> "_Wire":
        reader, writer = await asyncio.open_unix_connection(socket_path)
        body = json.dumps({"Detach": False, "Tty": False})
        head = (
            f"POST /v{api_version}/exec/{exec_id}/start HTTP/1.1",
            "Host: docker",
            "Connection: Upgrade",
            "Upgrade: tcp",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        )
        try:
            writer.write(("\r\n".join(head) + "\r\n\r\n" + body).encode())
            answer = await reader.readuntil(b"\r\n\r\n")
            if answer.split(b" ", 2)[1] not in {b"101", b"200"}:
                said = " ".join((await reader.read(_CHUNK)).decode(errors="replace").split())[:400]
                raise RunError(f"Docker could not run a command in your container: {said}", "sandbox")
        except BaseException:
            writer.transport.abort()
            raise
        return cls(reader, writer)

    async def frames(self) -> AsyncIterator[tuple[int, bytes]]:
        """Each piece of output with its stream: 1 is stdout, 2 is stderr."""
        with contextlib.suppress(asyncio.IncompleteReadError):  # the other side has closed
            while True:
                stream, length = _HEADER.unpack(await self._reader.readexactly(_HEADER.size))
                while length > 0:
                    piece = await self._reader.readexactly(min(length, _CHUNK))
                    yield stream, piece
                    length -= len(piece)

    async def feed(self, stdin: bytes) -> None:
        """Give the command its whole stdin and close it. One that does not read it is no error."""
        with contextlib.suppress(ConnectionError):
            self._writer.write(stdin)
            await self._writer.drain()
            self._writer.write_eof()

    def close(self) -> None:
        self._writer.transport.abort()


async def run(
    daemon: Daemon,
    container: str,
    argv: Sequence[str],
    output: Output,
    *,
    cwd: str = "/",
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
) -> int:
    """Run a command to its end and return its exit code. APIError when the container is not there."""
    api: Any = (await daemon.client()).api
    created = await daemon.call(
        api.exec_create, container, list(argv), stdin=True, environment=dict(env or {}), workdir=cwd
    )
    try:
        wire = await _Wire.start(daemon.socket_path, api.api_version, created["Id"])
    except (OSError, asyncio.IncompleteReadError) as error:
        raise RunError(AWAY, "sandbox") from error
    feeding = asyncio.create_task(wire.feed(stdin))
    try:
        async for stream, piece in wire.frames():
            await output.take(piece, error=stream == 2)
    finally:
        feeding.cancel()
        wire.close()
    return await _exit_code(daemon, api, created["Id"])


async def _exit_code(daemon: Daemon, api: Any, exec_id: str) -> int:
    """The streams may close a moment before the engine has noted the exit."""
    while True:
        state = await daemon.call(api.exec_inspect, exec_id)
        if not state["Running"]:
            return int(state["ExitCode"])
        await asyncio.sleep(0.02)


async def reap(daemon: Daemon, container: str, marker: str, folder: str = "") -> None:
    """Kill, inside the container, whatever carries `marker` in its environment or works in `folder`."""
    with contextlib.suppress(APIError, RunError):  # in a container that is gone or paused nothing runs
        await run(
            daemon,
            container,
            ["python3", "-I", "-", marker, folder],
            Output(None, 1 << 16),
            stdin=_REAPER,
        )
