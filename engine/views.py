"""What the product gives and gets: plain values, never rows."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID


@dataclass(frozen=True, slots=True)
class NewRun:
    task_id: UUID
    project_id: UUID
    user_id: UUID
    title: str
    prompt: str
    agent: str
    model: str
    author_name: str
    author_email: str
    base_branch: str
    reference: str = ""
    """What people call the task: `CART-12`."""
    limits: dict[str, Any] = field(default_factory=dict)
    """`engine.limits.Limits.stored()`."""
    restores: UUID | None = None
    """The ended run whose kept work it begins with."""


@dataclass(frozen=True, slots=True)
class RunView:
    """A run's row, for reading. Times are UTC; cost is US dollars."""

    id: UUID
    task_id: UUID
    project_id: UUID
    user_id: UUID
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    agent: str
    model: str
    status: str
    progress: int
    message: str
    error: str | None
    error_kind: str | None
    outcome: str | None
    branch: str
    pr_url: str | None
    pr_number: int | None
    additions: int
    deletions: int
    files_changed: int
    tokens_in: int
    tokens_out: int
    cost: float
    attempt: int
    attempts: int
    limits: dict[str, Any]
    batch_id: UUID | None
    pushed_sha: str | None
    clashes: list[dict[str, Any]]
    """`Run.clashes`."""
    last_seq: int

    @property
    def pushed(self) -> bool:
        return self.pushed_sha is not None


@dataclass(frozen=True, slots=True)
class EventView:
    """One event of a run. `id` orders all news of the installation, `seq` the run's own."""

    id: int
    run_id: UUID
    task_id: UUID
    project_id: UUID
    seq: int
    time: datetime
    kind: str
    level: str
    part: str
    state: str
    message: str
    details: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class DiffView:
    patch: str
    files: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class AskView:
    id: UUID
    run_id: UUID
    kind: str
    """`permission` or `question`."""
    text: str
    details: dict[str, Any]
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class RemoteFound:
    """What a remote said of itself, or `error`: why it could not be read, with the cure."""

    default_branch: str | None
    branches: tuple[str, ...]
    error: str | None = None


@dataclass(frozen=True, slots=True)
class SignInFound:
    """`url` is the provider's page; `method` is `code`, which comes back, or `auto`."""

    url: str
    method: str
    instructions: str
    error: str | None = None
    way: int = 0
    """Which of the provider's ways it is, counted from 0."""


@dataclass(frozen=True, slots=True)
class Health:
    workers: int
    sandbox: str
    """`docker`, `process`, `bare` (processes without isolation), or empty when no worker lives."""
    trouble: str | None
    """Why agents cannot run now, with the cure."""


V = TypeVar("V")


def view_of(kind: Callable[..., V], row: Any) -> V:
    """The row's columns that the view, a dataclass, names."""
    return kind(**{name: getattr(row, name) for name in inspect.signature(kind).parameters})
