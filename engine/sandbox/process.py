"""Agents as processes of this machine, for one person on their own: behind bubblewrap where it works."""

import asyncio
import contextlib
import os
import platform
import shutil
import signal
import socket
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from uuid import UUID, uuid4

from engine.errors import RunError
from engine.folders import bytes_in, ids_in
from engine.metrics import CONTAINER_STARTS, totals
from engine.ports import Box, BoxState, Egress, Finished, Report, SandboxName
from engine.sandbox import census, opencode, process_trial
from engine.sandbox import daemonized as daemon
from engine.sandbox.cell import Cell, bubblewrap
from engine.sandbox.helper import helper_name
from engine.sandbox.local_exec import run
from engine.sandbox.output import Output, timed_out
from engine.sandbox.reaper import reap
from engine.sandbox.server import READY_LINE, server_password, until_healthy
from engine.sandbox.trial import passing
from engine.settings import EngineSettings

SIGNAL_SECONDS = 5.0
START_TIMEOUT = 90.0
ANSWER_TIMEOUT = 30.0
MARKER = "OPENLINEAR_EXEC"
AS_ROOT = (
    "Agents do not run as root on this machine itself. Install bubblewrap (on Debian `apt-get install "
    "bubblewrap`) and start again, or install Docker and start with SANDBOX=docker."
)
FOR_ONE = (
    "Without Docker, agents run on this machine for one person alone, and somebody else's have. Install "
    "Docker and start with SANDBOX=docker, or start with SANDBOX=process to let them share it."
)
_PREPARE = """
set -e
umask 077
mkdir -p "$HOME/repos" "$HOME/.local/share/opencode"
cd "$HOME/.local/share/opencode"
rm -rf .server-password
cat >.server-password
"""


class ProcessSandbox:
    """`engine.ports.Sandbox` on plain processes."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._locks: defaultdict[UUID, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._starts = asyncio.Semaphore(2)
        self._kills: dict[UUID | str, int] = {}
        """How many processes this machine had killed for want of memory when a user's box was last ensured,
        or a trial's was made."""

    @cached_property
    def _bwrap(self) -> str | None:
        return bubblewrap()

    @property
    def name(self) -> SandboxName:
        return "process" if self._bwrap else "bare"

    @cached_property
    def _unsafe(self) -> str | None:
        """Why nobody's agents may run here: root's rights, and nothing that takes them away."""
        return AS_ROOT if os.geteuid() == 0 and self._bwrap is None else None

    def _cell(self, user_id: UUID, trial: str = "") -> Cell:
        return Cell(self._settings, user_id, self._bwrap, trial)

    def shared_objects(self, user_id: UUID) -> Path:
        return self._cell(user_id).shared

    async def check(self) -> str | None:
        if platform.system() != "Linux":
            return "Without Docker, agents run on Linux only. Install Docker and start with SANDBOX=docker."
        return await asyncio.to_thread(lambda: self._unsafe) or opencode.missing(self._settings)

    # -- lifecycle ------------------------------------------------------------------------------

    async def ensure(self, user_id: UUID, report: Report) -> Box:
        cell = self._cell(user_id)
        async with self._locks[user_id]:
            if refusal := self._unsafe or self._shared(cell):
                raise RunError(refusal, "sandbox")
            await asyncio.to_thread(cell.make)
            record = daemon.load(_server(cell))
            state = daemon.state(record)
            if record is None or state == "gone":
                record = await self._started(cell, report)
            elif state == "paused":
                await asyncio.to_thread(daemon.signal_all, cell.marker, signal.SIGCONT)
            box = self._box(cell, record)
            if not await until_healthy(box.url, box.password, ANSWER_TIMEOUT):
                await asyncio.to_thread(reap, cell.marker)
                raise RunError(
                    "The agent server does not answer; the next run starts it anew.", "agent_crash"
                )
            self._kills[user_id] = _memory_kills()
            return box

    def _shared(self, cell: Cell) -> str | None:
        """Why this user's agents may not run here, though another's have: nobody has chosen that."""
        if self._settings.sandbox != "auto" or cell.folder.exists() or not cell.folder.parent.exists():
            return None
        return FOR_ONE if any(cell.folder.parent.iterdir()) else None

    def _box(self, cell: Cell, record: daemon.Record) -> Box:
        password = server_password(self._settings, cell.user_id, "process")
        return Box(cell.user_id, f"http://127.0.0.1:{record.port}", password, cell.repos, cell.objects)

    async def _started(self, cell: Cell, report: Report) -> daemon.Record:
        """Start the agent server; a port that was taken between choice and use is chosen anew."""
        await opencode.ensure_opencode(self._settings, report)
        async with self._starts:
            await report("Starting the agent server")
            await asyncio.to_thread(reap, cell.marker)
            await self._prepare(cell)
            for _ in range(3):
                record = await asyncio.to_thread(self._launch, cell)
                if await _listens(cell, record):
                    totals.count(CONTAINER_STARTS, sandbox="process")
                    return record
                await asyncio.to_thread(reap, cell.marker)
        said = _log(cell).read_text(errors="replace").split()
        raise RunError(f"The agent server did not start: {' '.join(said)[-400:]}", "agent_crash")

    async def _prepare(self, cell: Cell) -> None:
        """Give the server its password as a file, written from inside as the worker user."""
        password = server_password(self._settings, cell.user_id, "process")
        argv, env = cell.argv(["bash", "-c", _PREPARE], cell.home), cell.environment()
        output = Output(None, 1 << 16)
        if await run(argv, env, cell.host_home, password.encode(), output) != 0:
            said = " ".join(output.stderr.decode(errors="replace").split())[-400:]
            raise RunError(f"The sandbox could not be prepared: {said}", "sandbox")

    def _launch(self, cell: Cell) -> daemon.Record:
        port = _free_port()
        env = cell.environment({"OPENCODE_HOSTNAME": "127.0.0.1", "OPENCODE_PORT": str(port)})
        argv = cell.argv(["bash", f"{cell.library}/entrypoint"], cell.home)
        record = daemon.start(argv, env, cell.host_home, stdin=None, log=_log(cell), port=port)
        daemon.save(_server(cell), record)
        return record

    async def pause(self, user_id: UUID) -> None:
        """Stop its processes where they are; their memory stays."""
        cell = self._cell(user_id)
        if daemon.state(daemon.load(_server(cell))) == "running":
            await asyncio.to_thread(daemon.signal_all, cell.marker, signal.SIGSTOP)
            await _left(cell, "running")

    async def remove(self, user_id: UUID) -> None:
        async with self._locks[user_id]:
            cell = self._cell(user_id)
            await asyncio.to_thread(reap, cell.marker)
            _server(cell).unlink(missing_ok=True)

    async def found(self) -> dict[UUID, BoxState]:
        states: dict[str, BoxState] = {"running": "running", "paused": "paused", "gone": "stopped"}
        folder = self._settings.openlinear_home / "sandbox"
        records = await asyncio.to_thread(lambda: list(folder.glob("*/server.json")))
        return {UUID(path.parent.name): states[daemon.state(daemon.load(path))] for path in records}

    async def free_bytes(self) -> int:
        return (await asyncio.to_thread(shutil.disk_usage, self._settings.openlinear_home)).free

    async def taken(self, box: Box) -> int:
        cell = self._cell(box.user_id, box.trial)
        folders = [str(cell.host_home), str(cell.folder / "tmp")]
        try:
            return await asyncio.to_thread(census.files, folders, str(cell.shared))
        except census.Uncounted as error:
            raise RunError(
                f"What your agents have written could not be counted: {error}.", "sandbox"
            ) from None

    async def holdings(self) -> dict[UUID, int]:
        folder = self._settings.openlinear_home / "sandbox"

        def weigh() -> dict[UUID, int]:
            return {user: bytes_in(folder / str(user)) for user in ids_in(folder)}

        return await asyncio.to_thread(weigh)

    async def forget(self, user_id: UUID) -> None:
        await self.remove(user_id)
        await asyncio.to_thread(shutil.rmtree, self._cell(user_id).folder, ignore_errors=True)

    async def image_bytes(self) -> int:
        return await asyncio.to_thread(bytes_in, self._settings.openlinear_home / "opencode")

    async def cause_of_death(self, user_id: UUID, trial: str = "") -> RunError | None:
        cell = self._cell(user_id, trial)
        if _memory_kills() > self._kills.get(trial or user_id, _memory_kills()):
            return RunError(
                "This machine ran out of memory and killed a process. Run less at once, or close something.",
                "limit",
            )
        if trial:
            return None if process_trial.is_there(cell) else RunError(process_trial.GONE, "sandbox")
        if daemon.load(_server(cell)) and daemon.state(daemon.load(_server(cell))) == "gone":
            return RunError("The agent server ended by itself.", "agent_crash")
        return None

    # -- trials ---------------------------------------------------------------------------------

    def trial(
        self, user_id: UUID, trial_id: UUID, *, project_id: UUID, seconds: float
    ) -> AbstractAsyncContextManager[Box]:
        async def make() -> Box:
            if refusal := self._unsafe or self._shared(self._cell(user_id)):
                raise RunError(refusal, "sandbox")
            cell = self._cell(user_id, process_trial.name(trial_id, project_id, seconds))
            await asyncio.to_thread(process_trial.make, cell, trial_id)
            self._kills[cell.trial] = _memory_kills()
            return Box(user_id, "", "", cell.repos, cell.objects, cell.trial)

        async def remove(box: Box) -> None:
            self._kills.pop(box.trial, None)
            await asyncio.to_thread(process_trial.remove, self._cell(user_id, box.trial))

        return passing(make, remove)

    async def allow(self, user_id: UUID, egress: Egress) -> None:
        """Agents share this machine's network here: nothing keeps them to a policy (SECURITY.md)."""

    async def refused(self, user_id: UUID) -> Mapping[str, float]:
        return {}

    async def rest(self) -> None:
        """Nothing serves them all."""

    async def clear_trials(self, *, under_way: bool = False) -> list[UUID]:
        return await asyncio.to_thread(process_trial.clear, self._settings, under_way=under_way)

    # -- commands -------------------------------------------------------------------------------

    async def exec(
        self,
        box: Box,
        argv: Sequence[str],
        *,
        cwd: PurePosixPath | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        stdout: BinaryIO | None = None,
        limit: int = 8 << 20,
        timeout: float = 60.0,
    ) -> Finished:
        cell = self._cell(box.user_id, box.trial)
        where = cwd or cell.home
        output = Output(stdout, limit)
        mark = uuid4().hex
        ended = False
        try:
            async with asyncio.timeout(timeout):
                code = await run(
                    cell.argv(argv, where),
                    cell.environment({**(env or {}), MARKER: mark}),
                    cell.host_home if cell.bwrap else Path(where),
                    stdin,
                    output,
                )
            ended = True
        except TimeoutError as error:
            raise timed_out(argv[0], timeout) from error
        except OSError as error:
            raise RunError(f"{argv[0]} could not be run: {error.strerror}.", "sandbox") from error
        finally:
            if not ended:
                await asyncio.shield(asyncio.to_thread(reap, f"{MARKER}={mark}".encode()))
        return Finished(code, bytes(output.stdout), bytes(output.stderr))

    async def spawn(self, box: Box, name: str, argv: Sequence[str], *, stdin: bytes = b"") -> None:
        cell = self._cell(box.user_id)
        record = cell.folder / f"helper-{helper_name(name)}.json"
        async with self._locks[box.user_id]:
            if daemon.state(daemon.load(record)) != "gone":
                return
            given, log = record.with_suffix(".in"), record.with_suffix(".log")
            with os.fdopen(os.open(given, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(stdin)
            started = await asyncio.to_thread(
                daemon.start,
                cell.argv(argv, cell.home),
                cell.environment(),
                cell.host_home,
                stdin=given,
                log=log,
            )
            daemon.save(record, started)
            await asyncio.sleep(0.1)
            if daemon.state(started) == "gone":
                said = " ".join(log.read_text(errors="replace").split())[-400:]
                raise RunError(f"The helper {name} could not be started: {said}", "sandbox")

    async def stop_run(self, box: Box, run_id: UUID) -> None:
        await asyncio.to_thread(reap, str(run_id).encode(), str(box.repos / str(run_id)))


def _server(cell: Cell) -> Path:
    return cell.folder / "server.json"


def _log(cell: Cell) -> Path:
    return cell.folder / "server.log"


def _free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _left(cell: Cell, state: str) -> None:
    """Until the server is not in this state any more: a signal is sent before it has taken effect."""
    deadline = time.monotonic() + SIGNAL_SECONDS
    while time.monotonic() < deadline:
        if daemon.state(daemon.load(_server(cell))) != state:
            return
        await asyncio.sleep(0.01)


async def _listens(cell: Cell, record: daemon.Record) -> bool:
    """Whether it came to say that it listens, before which no request may be sent."""
    deadline = time.monotonic() + START_TIMEOUT
    while daemon.state(record) == "running" and time.monotonic() < deadline:
        if READY_LINE in _log(cell).read_text(errors="replace"):
            return True
        await asyncio.sleep(0.05)
    return False


def _memory_kills() -> int:
    """How many processes this machine has killed for want of memory since its start."""
    for line in Path("/proc/vmstat").read_text().splitlines():
        if line.startswith("oom_kill "):
            return int(line.split()[1])
    return 0
