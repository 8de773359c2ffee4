"""What services hand out: plain frozen values, never rows. Pages and the API both read these.

Times are aware UTC datetimes. Nothing here holds a secret.
"""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

from engine.limits import Limits
from engine.ports import EgressMode

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: made from a checked token alone. Every service call takes one."""

    id: UUID
    name: str
    username: str
    email: str
    session_id: UUID
    """The login or access token this actor came by; revoking it ends the actor everywhere."""
    scope: str | None = None
    """What an access token may do: `read` or `write`. None for a login."""
    admin: bool = False
    """An administrator of this installation. It gives no sight of others' projects."""


@dataclass(frozen=True, slots=True)
class UserView:
    id: UUID
    name: str
    username: str
    email: str
    avatar_url: str | None = None
    github_id: int | None = None


@dataclass(frozen=True, slots=True)
class ProjectView:
    id: UUID
    name: str
    key: str
    """Short upper-case word in front of the task numbers: `CART-3`. In a team, the team's."""
    description: str
    clone_url: str
    default_branch: str
    demo: bool
    has_credential: bool
    created_at: datetime
    checks: tuple[str, ...] = ()
    """Commands that a batch's merged result has to pass."""
    team_id: UUID | None = None
    """None for a person's own."""


@dataclass(frozen=True, slots=True)
class LabelView:
    id: UUID
    name: str
    color: str
    """A Radix scale's name: slate, red, amber, green, blue, violet, …"""
    team_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Dependency:
    """A task that another one waits for."""

    id: UUID
    identifier: str
    title: str
    done: bool


@dataclass(frozen=True, slots=True)
class Clash:
    """What a task's work would conflict with if both were merged now."""

    task_id: UUID
    identifier: str
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExecutionView:
    """A task's last run, as its card shows it."""

    run_id: UUID
    status: str
    """queued, cloning, executing, waiting, committing, creating_pr, done, failed, cancelled."""
    progress: int
    message: str
    """What it does now, one line."""
    error: str | None
    outcome: str | None
    """pull_request, pushed, no_changes; None unless done."""
    user_id: UUID
    model: str
    branch: str
    pr_url: str | None
    pr_number: int | None
    additions: int
    deletions: int
    files_changed: int
    tokens_in: int
    tokens_out: int
    cost: float
    started_at: datetime | None
    ended_at: datetime | None
    created_at: datetime
    error_kind: str | None = None
    """The class of what failed (`engine.errors.Class`); `budget` where it reached a limit."""
    attempt: int = 1
    attempts: int = 1
    """Of how many at most; both are 1 until something failed that is tried again."""
    limits: Limits = field(default_factory=Limits)
    """What it may cost, as the engine keeps to it."""
    batch_id: UUID | None = None
    clashes: tuple[Clash, ...] = ()
    pr_state: str | None = None
    """open, closed, merged; None until the forge told."""
    pushed: bool = False
    """Whether the branch is on the remote."""


@dataclass(frozen=True, slots=True)
class TaskView:
    """A card, and with `description` the head of its panel."""

    id: UUID
    project_id: UUID
    identifier: str
    title: str
    description: str
    status: str
    """todo, in_progress, done, cancelled."""
    order: float
    """Position in its column, ascending."""
    priority: str | None
    """low, medium, high, urgent."""
    labels: tuple[LabelView, ...]
    due_date: date | None
    agent: str
    model: str
    archived: bool
    created_by: str
    """The person's name."""
    created_at: datetime
    updated_at: datetime
    version: int
    """Grows with every change of the task or its run's status; an older one is stale."""
    execution: ExecutionView | None = None
    limits: Limits = field(default_factory=Limits)
    """What each of its runs may cost, unless the run says otherwise."""
    waits_for: tuple[Dependency, ...] = ()


@dataclass(frozen=True, slots=True)
class BoardView:
    project: ProjectView
    columns: dict[str, tuple[TaskView, ...]]
    """By status, in order. Of finished ones the first page; `counts` says how many there are."""
    cursors: dict[str, str | None]
    """By status, where the next page of the column begins; None when all of it is here."""
    counts: dict[str, int]
    running: int
    """The actor's own open runs, over all projects."""
    parallel_limit: int
    news_id: int
    """The last news this snapshot holds; what comes after has a greater number."""


@dataclass(frozen=True, slots=True)
class AskOption:
    label: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class AskQuestion:
    """One of the questions that an agent asks at once."""

    text: str
    options: tuple[AskOption, ...]
    multiple: bool
    custom: bool = True
    """Whether an answer may also be another text than an option's label."""


@dataclass(frozen=True, slots=True)
class AskView:
    """What an agent waits for: a permission, or an answer to a question."""

    id: UUID
    run_id: UUID
    kind: str
    """permission or question."""
    text: str
    options: tuple[AskOption, ...]
    """A permission's replies, or the first question's choices."""
    multiple: bool
    asked_at: datetime
    questions: tuple[AskQuestion, ...] = ()
    """Each of a question's; the answer holds a list of labels for each."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """`kind`: status, text, reasoning, tool, edit, usage, ask, answered, retry, error, idle."""

    seq: int
    time: datetime
    level: str
    kind: str
    part: str
    state: str
    message: str
    details: dict[str, Any] | None = None
    run_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class FileChange:
    path: str
    additions: int
    deletions: int
    binary: bool


@dataclass(frozen=True, slots=True)
class DiffView:
    patch: str
    files: tuple[FileChange, ...]
    run_id: UUID | None


@dataclass(frozen=True, slots=True)
class ExecutionSettings:
    parallel_limit: int = 3
    max_batch_size: int = 3
    auto_approve: bool = False
    stop_on_failure: bool = False
    conflict_behavior: str = "skip"
    build_on_previous: bool = False
    network: EgressMode = "listed"
    """What the user's agents reach."""
    network_hosts: tuple[str, ...] = ()
    """What they reach besides, where that is a list."""
    limits: Limits = field(default_factory=Limits)
    """What each of the user's runs may cost at most."""


@dataclass(frozen=True, slots=True)
class ProviderView:
    """A model provider this user connected. The key never comes out."""

    provider_id: str
    name: str
    base_url: str | None
    models: tuple[str, ...] = field(default_factory=tuple)
    connected: bool = True
    by: Literal["key", "account"] | None = None
    """How it is connected."""
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    items: tuple[T, ...]
    next_cursor: str | None
