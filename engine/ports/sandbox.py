"""Where agents run, and what they reach from there."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal, Protocol
from uuid import UUID

from engine.errors import RunError

Report = Callable[[str], Awaitable[None]]
"""Told one short line about long work ("Starting your container"), for the card."""

EgressMode = Literal["open", "listed", "none"]


@dataclass(frozen=True, slots=True)
class Egress:
    """What one user's agents may reach. The model's own host is always among it: without, no agent works."""

    mode: EgressMode
    """`open`: every public host; `listed`: package registries and `hosts`; `none`: nothing more."""
    hosts: tuple[str, ...] = ()
    """The user's own (`engine.egress_hosts`)."""
    providers: tuple[str, ...] = ()
    """The user's model providers: base URLs, or ids of those whose host is known."""


@dataclass(frozen=True, slots=True)
class Box:
    """One user's sandbox, running, its agent server ready. Paths are as seen inside."""

    user_id: UUID
    url: str
    """Base URL of the OpenCode server as the engine reaches it, without a trailing slash."""
    password: str = field(repr=False)
    """HTTP Basic password of that server; the user name is `opencode`."""
    repos: PurePosixPath
    """Folder that holds this user's workspaces; one per run: `repos / run_id`."""
    objects: PurePosixPath
    """Read-only folder of the objects this user may borrow: `objects / project_id`."""
    trial: str = ""
    """What the sandbox calls a trial's box (`Sandbox.trial`), which has no server; "" is the user's own."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that ended inside a sandbox. `stdout` is empty when it was streamed to a file."""

    exit_code: int
    stdout: bytes
    stderr: bytes


BoxState = Literal["running", "paused", "stopped"]
SandboxName = Literal["docker", "process", "bare"]


class Sandbox(Protocol):
    """Where agents run: `docker` (a container per user) or `process` (bubblewrap, one person).

    Every method is idempotent and safe to repeat after a crash. Callers hold the user's
    container row while they call ensure, pause or remove, so two never race for one user.
    """

    @property
    def name(self) -> SandboxName:
        """What people are told; `bare` is `process` where nothing keeps agents in."""

    async def check(self) -> str | None:
        """Why this sandbox cannot run here now, with the cure; None when it can."""

    async def ensure(self, user_id: UUID, report: Report) -> Box:
        """Running → use, paused or stopped → wake, none → create; returns once it is ready."""

    async def allow(self, user_id: UUID, egress: Egress) -> None:
        """What this user's sandbox and trials may reach from now on; what runs already, too."""

    async def refused(self, user_id: UUID) -> Mapping[str, float]:
        """Hosts that were refused to this user's agents of late, and when (Unix time). Agents named them."""

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
        """Run `argv` as the worker user, to its end.

        Over `limit` bytes of output, or after `timeout` seconds, it is killed: RunError.
        """

    async def spawn(self, box: Box, name: str, argv: Sequence[str], *, stdin: bytes = b"") -> None:
        """Start a long-lived helper beside the agent server, once per `name`; it dies with the box.

        `stdin` is given to it whole, then closed. It outlives the engine's process.
        """

    def trial(
        self, user_id: UUID, trial_id: UUID, *, project_id: UUID, seconds: float
    ) -> AbstractAsyncContextManager[Box]:
        """A fresh, empty box to try a project's work in, gone with all that is in it when it is left.

        As bounded as the user's own, and with nothing of theirs but the objects of this project: no agent
        server, no keys, no workspaces. `exec` works on it. One of the same id that a killed worker left
        is replaced; one that nobody replaces is a left-over after `seconds`.
        """

    async def clear_trials(self, *, under_way: bool = False) -> list[UUID]:
        """Remove the trials' boxes that are left over; `under_way` ones too. Whose they were."""

    async def stop_run(self, box: Box, run_id: UUID) -> None:
        """Kill what still runs in the run's workspace folder (cwd or environment names it)."""

    async def pause(self, user_id: UUID) -> None: ...

    async def rest(self) -> None:
        """Nobody's sandbox is awake now: what serves them all may stop too."""

    async def remove(self, user_id: UUID) -> None:
        """Remove the sandbox; the volumes with workspaces, auth and config stay."""

    async def found(self) -> dict[UUID, BoxState]:
        """Every sandbox of this installation that exists now, by its user."""

    async def free_bytes(self) -> int:
        """What is left of the disk that sandboxes write to. Asked each second."""

    async def taken(self, box: Box) -> int:
        """Bytes that what is in this box takes of that disk, without what it borrows.

        RunError where not all of it could be counted. Nothing in the box can make it less than it is.
        """

    async def holdings(self) -> dict[UUID, int]:
        """Bytes that each user's volumes hold, workspaces and all, whether a sandbox is there or not."""

    async def forget(self, user_id: UUID) -> None:
        """Remove the sandbox and its volumes, for a user that is no more."""

    async def image_bytes(self) -> int:
        """What the images or programs that sandboxes are made from take."""

    async def cause_of_death(self, user_id: UUID, trial: str = "") -> RunError | None:
        """Why the sandbox or its agent died, when it can be told: `limit` for want of memory.

        Of a trial's box (`Box.trial`): also that it is no longer there, which nothing in it can bring about.
        """

    def shared_objects(self, user_id: UUID) -> Path:
        """The host folder that shows up as `Box.objects`. The engine hard-links packs into it."""
