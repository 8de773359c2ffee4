"""What the engine needs of the world, as Protocols. Adapters live beside: sandbox/, agents/, forge/.

Values are plain dataclasses without secrets in their `repr`. Methods raise `RunError`
(`engine.errors`) with a reason for a person; "already gone" is success everywhere.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Literal, Protocol
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


# -- sandbox ----------------------------------------------------------------------------------


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


# -- agent ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModelRef:
    provider: str
    model: str


@dataclass(frozen=True, slots=True)
class ProviderKey:
    """A user's credential for a model provider. `base_url` makes it any OpenAI-compatible endpoint."""

    provider: str
    api_key: str = field(repr=False)
    base_url: str | None = None
    models: tuple[str, ...] = ()
    account: Mapping[str, Any] | None = field(default=None, repr=False)
    """In place of a key: what the agent keeps of an account that the user signed in to."""


@dataclass(frozen=True, slots=True)
class SignIn:
    """Where a person signs in. By `code` they bring one back; by `auto` the agent waits for them."""

    url: str
    method: Literal["code", "auto"]
    instructions: str


@dataclass(frozen=True, slots=True)
class Session:
    """An agent's session for one run, inside a box."""

    id: str
    directory: PurePosixPath


EventKind = Literal[
    "text",  # the agent speaks; state is the piece's offset in the part, in characters
    "reasoning",  # as text
    "tool",  # state running | completed | error; details {tool, input, output?, durationMs?}
    "edit",  # a file was written; text is its path relative to the workspace
    "usage",  # details {tokensIn, tokensOut, tokensCached, cost}, cost in US dollars
    "ask",  # details {ask: "permission"|"question", ...}; the run waits for an answer
    "answered",  # an ask was settled; part is the ask's
    "retry",  # the agent waits and will try the model again; details {attempt, error, class}
    "error",  # the turn failed; text is the reason, details {class}
    "idle",  # the turn ended
    "alive",  # a sign of life that is not stored
]


@dataclass(frozen=True, slots=True)
class AgentEvent:
    """One thing an agent did. (part, state) is stable over reconnects, so a repeat is recognised."""

    kind: EventKind
    part: str
    state: str = ""
    text: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


class Agent(Protocol):
    name: str

    async def prepare(
        self, box: Box, directory: PurePosixPath, keys: Sequence[ProviderKey], *, demo: bool
    ) -> None:
        """Make the user's provider credentials known to the agent, before it opens the folder.

        `demo` starts the demo model too. Asked again before the folder has a session, it costs nothing.
        """

    async def warm(self, box: Box, directory: PurePosixPath) -> None:
        """Open the folder ahead of its first prompt, which then need not wait a second for that.

        The folder is a repository, which may have no files yet. A help alone: what fails is not told.
        """

    async def open(self, box: Box, directory: PurePosixPath, title: str) -> Session:
        """The session with this title, or a new one: asking twice yields one session."""

    async def prompt(
        self,
        box: Box,
        session: Session,
        message_id: str,
        text: str,
        model: ModelRef,
        *,
        follow_up: bool = False,
    ) -> None:
        """Send the prompt, unless a message with this id is there already.

        `follow_up` where the session has a turn behind it.
        """

    def events(self, box: Box, session: Session, seen: Mapping[str, str]) -> AsyncIterator[AgentEvent]:
        """What happened and happens, from the start, then live, until closed by the caller.

        Begins with what the session already holds (messages, open asks, status), then follows the
        stream without a gap. `seen` maps a text part to the offset (as text) recorded so far, and
        an ask that is open in the caller's books to `asked`, so that it is told `answered` if it was.
        Reconnects by itself; raises RunError when the agent is gone.
        """

    async def answer(self, box: Box, session: Session, part: str, details: Mapping[str, Any]) -> None:
        """Settle an ask.

        A permission: {reply: "once" | "always" | "reject", message?}. A question: {answers: [[...]]}
        or {reject: true}.
        """

    async def abort(self, box: Box, session: Session) -> None: ...

    async def close(self, box: Box, directory: PurePosixPath) -> None:
        """The run is over: let go of what is held for its folder. No error where the agent is gone."""


# -- forge ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Credential:
    """What git or a forge asks for, at the moment of use."""

    username: str
    password: str = field(repr=False)
    cure: str = "Enter a new one."
    """What a person does when it is not accepted any more."""


@dataclass(frozen=True, slots=True)
class PullRequest:
    number: int
    url: str


class Forge(Protocol):
    """Where pull requests live."""

    def hosts(self, clone_url: str) -> bool:
        """Whether this remote is one of this forge's."""

    async def open_pull_request(
        self, clone_url: str, credential: Credential, *, head: str, base: str, title: str, body: str
    ) -> PullRequest:
        """The open pull request of this branch: a new one, or the one that is there already."""


# -- product ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RemoteAccess:
    """A project's remote as one user reaches it. `credential` is None for an anonymous read."""

    url: str
    credential: Credential | None


@dataclass(frozen=True, slots=True)
class Known:
    """Whom and what the product knows; anything else of theirs is a left-over."""

    users: frozenset[UUID]
    projects: frozenset[UUID]
    uses: frozenset[tuple[UUID, UUID]] | None = None
    """(user, project) of who may work with what; None where everybody may with everything."""

    def may_use(self, user_id: UUID, project_id: UUID) -> bool:
        return project_id in self.projects and (self.uses is None or (user_id, project_id) in self.uses)


@dataclass(frozen=True, slots=True)
class Brief:
    """What a task says now."""

    title: str
    prompt: str


BatchNews = Literal[
    "started",
    "waiting",
    "merging",
    "updated",
    "completed",
    "failed",
    "cancelled",
    "task:started",
    "task:completed",
    "task:skipped",
]


class Product(Protocol):
    """What the engine asks of the product. Secrets pass through here alone, when they are used.

    Those that take a session (an AsyncSession) are told in the transaction that records what they tell of.
    """

    async def remote(self, project_id: UUID, user_id: UUID) -> RemoteAccess:
        """The project's remote with this user's credential. RunError when they may not read it."""

    async def provider_keys(self, user_id: UUID) -> Sequence[ProviderKey]: ...

    async def egress(self, user_id: UUID) -> Egress:
        """What this user lets their agents reach."""

    async def sign_in_code(self, user_id: UUID, provider: str) -> str:
        """What the user brought back from the provider's page; "" where there is no code to bring.

        RunError when they have not begun to sign in, or too long ago.
        """

    async def keep_account(
        self, user_id: UUID, provider: str, account: Mapping[str, Any], *, new: bool
    ) -> None:
        """Keep what the agent holds of an account: a `new` one, or one whose tokens it may have renewed.

        Of two renewals the one that expires later stays, whichever comes first.
        """

    async def known(self) -> Known:
        """Every user and project there is, hidden ones too."""

    async def slots(self, session: Any, user_id: UUID) -> int:
        """How many of this user's runs may be under way at once."""

    async def begins(self, session: Any, run_id: UUID) -> Brief:
        """A run that waited in its batch begins: its card moves. What its task says by now."""

    async def batch(self, session: Any, batch_id: UUID, news: BatchNews, task_id: UUID | None = None) -> None:
        """Something of a batch changed."""

    async def kept(self, session: Any, run_id: UUID) -> None:
        """Work of this ended run is kept now, or no longer."""

    async def waits(self, session: Any, run_id: UUID) -> None:
        """An agent asked something of its person, or what it asked is settled."""

    async def ended(self, session: Any, run_id: UUID) -> None:
        """A run ended."""
