"""What does the work: a session for each run, inside a box, and its events."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal, Protocol

from engine.ports.sandbox import Box


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
    way: int
    """Which of the provider's ways it is, counted from 0."""


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

        `demo` starts the demo model too. Asked again with the same before the folder has a session, it costs
        nothing.
        """

    async def warm(self, box: Box, directory: PurePosixPath, *, again: bool = False) -> None:
        """Open the folder ahead of its first prompt, which then need not wait a second for that.

        The folder is a repository, which may have no files yet. A help alone: what fails is not told.
        `again` where it may have been opened before: if that was with other credentials, it is opened anew.
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
