"""Runs, their events, and what they ask.

Ids of events come from `news_id()` (see the first migration): one sequence under one lock, so that
ids follow commit order and a reader who remembers the last one misses nothing. The same function
numbers the product's changes, so one number orders all news of an installation.
"""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from engine.models.columns import moment, present

RunStatus = Literal[
    "queued",
    "cloning",
    "executing",
    "waiting",
    "committing",
    "creating_pr",
    "done",
    "failed",
    "cancelled",
]
ENDED: tuple[RunStatus, ...] = ("done", "failed", "cancelled")


class Run(SQLModel, table=True):
    """One press of Execute. What this row says is the truth about it; nobody copies it."""

    __tablename__ = "runs"
    __table_args__ = (
        Index("runs_open_by_user", "user_id", postgresql_where=text("ended_at IS NULL")),
        Index("runs_by_task", "task_id", "created_at"),
        # One open run per task, whoever presses Execute, however often.
        Index("runs_one_open_per_task", "task_id", unique=True, postgresql_where=text("ended_at IS NULL")),
        Index("runs_by_pull_request", text("lower(pr_url)"), postgresql_where=text("pr_url IS NOT NULL")),
        Index("runs_not_cleared", "id", postgresql_where=text("cleared_at IS NULL")),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    task_id: UUID
    project_id: UUID
    user_id: UUID
    """Whoever pressed Execute: their container, keys and token."""
    batch_id: UUID | None = Field(
        default=None, sa_column=Column(ForeignKey("batches.id", ondelete="CASCADE"), index=True)
    )
    takes_slot: bool = True
    """Whether it counts towards its user's parallel limit: in a batch, while its agent is at work."""
    created_at: datetime = present()
    started_at: datetime | None = moment()
    ended_at: datetime | None = moment()

    reference: str = ""
    """What people call the task: `CART-12`."""
    title: str = Field(sa_type=Text)
    prompt: str = Field(sa_type=Text)
    agent: str = "opencode"
    model: str = ""
    """`providerId/modelId`."""
    author_name: str
    author_email: str
    base_branch: str
    branch: str
    """`openlinear/{taskId}`; a suffix is added when that branch holds commits that are not ours."""

    status: str = "queued"
    progress: int = 0
    message: str = Field(default="", sa_type=Text)
    """What it does now, one line."""
    error: str | None = Field(default=None, sa_type=Text)
    error_kind: str | None = None
    outcome: str | None = None
    """`pull_request`, `pushed`, `no_changes`; None unless done."""
    attempt: int = 1
    """The how-manieth time the agent is set to it."""
    attempts: int = 1
    """Of how many at most, by what failed last (`engine.retries`)."""

    owner: str | None = None
    """The worker process that carries it on, by its id in `workers`."""
    fence: int = Field(default=0, sa_type=BigInteger)
    """Grows whenever the owner changes: writes that know an older number are refused."""
    cancel_requested_at: datetime | None = moment()
    cancel_taken_at: datetime | None = moment()
    """When a worker last began to see the cancellation through."""
    cleared_at: datetime | None = moment()
    """When, after its end, nothing was left of it in the sandbox and no lease."""
    tidied_at: datetime | None = moment()
    """When its workspace was removed, all of it being pushed, kept, or nothing. The janitor sees to it."""

    sandbox: str | None = None
    session_id: str | None = None
    base_sha: str | None = None
    """The commit of the remote's that it began with."""
    start_sha: str | None = None
    """What its own work is told apart from, where that is not the base: other tasks' work on top of it."""
    head_sha: str | None = None
    """The commit that holds its work."""
    pushed_sha: str | None = None
    """The commit that the remote's branch was put at."""
    restores: UUID | None = None
    """The run whose kept work this one begins with."""
    pr_url: str | None = None
    pr_number: int | None = None
    additions: int = 0
    deletions: int = 0
    files_changed: int = 0
    tokens_in: int = Field(default=0, sa_type=BigInteger)
    tokens_out: int = Field(default=0, sa_type=BigInteger)
    cost: float = 0.0
    """US dollars, as the agent reports them."""
    limits: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSONB, nullable=False))
    """What it may cost (`engine.limits.Limits`)."""
    active_seconds: float = 0.0
    """How long the agent has worked, waiting for a person and an engine that was down left out."""
    clashes: list[dict[str, Any]] = Field(default_factory=list, sa_column=Column(JSONB, nullable=False))
    """What it would conflict with if both were merged now: `{taskId, reference, files}` each."""
    last_seq: int = 0
    """Number of the run's latest event; the row's lock orders them without a gap."""


class RunEvent(SQLModel, table=True):
    """One thing that happened in a run, append-only. `(run_id, part, state)` makes a repeat harmless."""

    __tablename__ = "run_events"
    __table_args__ = (
        UniqueConstraint("run_id", "seq"),
        UniqueConstraint("run_id", "part", "state"),
    )

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, primary_key=True, server_default=text("news_id()"))
    )
    run_id: UUID = Field(sa_column=Column(ForeignKey("runs.id", ondelete="CASCADE"), nullable=False))
    seq: int
    time: datetime = present()
    kind: str
    """`status`, or an `engine.ports.EventKind` but `alive`."""
    level: str = "info"
    """`debug`, `info`, `warning`, `error`."""
    part: str = Field(sa_type=Text)
    state: str = Field(default="", sa_type=Text)
    message: str = Field(default="", sa_type=Text)
    details: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True)))


class RunDiff(SQLModel, table=True):
    """What a run changed, as text: kept here since the web process reads no repository."""

    __tablename__ = "run_diffs"

    run_id: UUID = Field(sa_column=Column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True))
    patch: str = Field(sa_type=Text)
    files: list[dict[str, Any]] = Field(default_factory=list, sa_column=Column(JSONB, nullable=False))
    """`{path, additions, deletions, binary}` each."""


class Ask(SQLModel, table=True):
    """A permission request or a question of an agent that a person has to answer."""

    __tablename__ = "asks"
    __table_args__ = (UniqueConstraint("run_id", "part"),)

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    run_id: UUID = Field(
        sa_column=Column(ForeignKey("runs.id", ondelete="CASCADE"), nullable=False, index=True)
    )
    part: str
    kind: str
    """`permission` or `question`."""
    text: str = Field(sa_type=Text)
    details: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSONB, nullable=False))
    asked_at: datetime = present()
    answer: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True)))
    answered_at: datetime | None = moment()
    settled_at: datetime | None = moment()
    """When the agent took the answer (or the ask was settled without one)."""
