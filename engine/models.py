"""The engine's tables: runs, their events, what they ask, and where they run.

Ids of events come from `news_id()` (see the first migration): one sequence under one lock, so that
ids follow commit order and a reader who remembers the last one misses nothing. The same function
numbers the product's changes, so one number orders all news of an installation.
"""

from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, Column, DateTime, ForeignKey, Index, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

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


def now() -> datetime:
    return datetime.now(UTC)


def _time() -> Any:
    """A moment that may be missing."""
    return Field(default=None, sa_column=Column(DateTime(timezone=True)))


def _now() -> Any:
    """A moment that is the row's making unless it is given, for the ORM and for plain inserts."""
    return Field(default_factory=now, sa_column=Column(DateTime(timezone=True), nullable=False, default=now))


class Run(SQLModel, table=True):
    """One press of Execute. What this row says is the truth about it; nobody copies it."""

    __tablename__ = "runs"
    __table_args__ = (
        Index("runs_open_by_user", "user_id", postgresql_where=text("ended_at IS NULL")),
        Index("runs_by_task", "task_id", "created_at"),
        # One open run per task, whoever presses Execute, however often.
        Index("runs_one_open_per_task", "task_id", unique=True, postgresql_where=text("ended_at IS NULL")),
        Index("runs_not_cleared", "id", postgresql_where=text("cleared_at IS NULL")),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    task_id: UUID
    project_id: UUID
    user_id: UUID
    """Whoever pressed Execute: their container, keys and token."""
    created_at: datetime = _now()
    started_at: datetime | None = _time()
    ended_at: datetime | None = _time()

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
    cancel_requested_at: datetime | None = _time()
    cancel_taken_at: datetime | None = _time()
    """When a worker last began to see the cancellation through."""
    cleared_at: datetime | None = _time()
    """When, after its end, nothing was left of it in the sandbox and no lease."""
    tidied_at: datetime | None = _time()
    """When its workspace was removed, all of it being pushed, kept, or nothing. The janitor sees to it."""

    sandbox: str | None = None
    session_id: str | None = None
    base_sha: str | None = None
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
    time: datetime = _now()
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
    asked_at: datetime = _now()
    answer: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True)))
    answered_at: datetime | None = _time()
    settled_at: datetime | None = _time()
    """When the agent took the answer (or the ask was settled without one)."""


class Container(SQLModel, table=True):
    """A user's sandbox. The row's lock is held while it is woken, paused or removed."""

    __tablename__ = "containers"

    user_id: UUID = Field(primary_key=True)
    used_at: datetime = _now()
    """The end of the latest lease; idle time counts from here."""
    spent: bool = False
    """A run was stopped in there: what escaped being killed goes with it, once no run needs it."""


class Lease(SQLModel, table=True):
    """A run that needs its user's sandbox awake."""

    __tablename__ = "leases"

    run_id: UUID = Field(sa_column=Column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True))
    user_id: UUID = Field(index=True)


class Worker(SQLModel, table=True):
    """An engine process that is alive while its heartbeat is fresh. Without its row it may write nothing."""

    __tablename__ = "workers"

    id: str = Field(primary_key=True)
    """One process's: a worker that starts again under its name has another."""
    name: str
    version: str
    """Of its workflows' code (`engine.queues.APPLICATION_VERSION`)."""
    started_at: datetime = _now()
    seen_at: datetime = _now()
    sandbox: str = ""
    trouble: str | None = Field(default=None, sa_type=Text)
    """Why its sandbox cannot run agents now, with the cure."""


class MetricTotal(SQLModel, table=True):
    """A number that only grows, summed over all processes that there were. See `engine.metrics`."""

    __tablename__ = "metric_totals"

    name: str = Field(primary_key=True)
    labels: str = Field(primary_key=True)
    """JSON, keys sorted."""
    part: str = Field(primary_key=True)
    """Empty for a counter; of a histogram a bucket's upper bound, or `sum`."""
    value: float


class WebProcess(SQLModel, table=True):
    """A web process that is alive while its row is fresh, and what it serves now."""

    __tablename__ = "web_processes"

    id: str = Field(primary_key=True)
    seen_at: datetime = _now()
    websockets: int = 0


class KeptWork(SQLModel, table=True):
    """Work of a run that is not on the remote, in `{openlinear_home}/kept/{run_id}`.

    It refers to no other row: it outlives its run, task and project until it expires.
    """

    __tablename__ = "kept_work"

    run_id: UUID = Field(primary_key=True)
    task_id: UUID = Field(index=True)
    project_id: UUID
    user_id: UUID = Field(index=True)
    """Whose it is: the one who pressed Execute."""
    title: str = Field(sa_type=Text)
    base_sha: str
    head_sha: str | None = None
    """The commit in the bundle; None where no tracked file differs from the base."""
    created_at: datetime = _now()
    expires_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    bundle_bytes: int = Field(default=0, sa_type=BigInteger)
    files_bytes: int = Field(default=0, sa_type=BigInteger)
    left_out: list[dict[str, Any]] = Field(default_factory=list, sa_column=Column(JSONB, nullable=False))
    """`{name, bytes, why}` of each file or folder that was not kept."""
    restored_at: datetime | None = _time()


class Finding(SQLModel, table=True):
    """Something the janitor met that was not as it should be. One row a subject, as last seen."""

    __tablename__ = "findings"

    kind: str = Field(primary_key=True)
    subject: str = Field(primary_key=True)
    detail: str = Field(sa_type=Text)
    mended: bool
    """Whether it was put right; where not, somebody has to look."""
    first_found_at: datetime = _now()
    found_at: datetime = _now()


class StorageReport(SQLModel, table=True):
    """The latest answer to a question about storage: `disk` (see engine.disk), `janitor` (its last round)."""

    __tablename__ = "storage_reports"

    name: str = Field(primary_key=True)
    made_at: datetime = _now()
    value: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
