"""The tables of batches: many runs whose work becomes one branch and one pull request."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from engine.models.columns import moment, present

BatchStatus = Literal["queued", "running", "waiting", "merging", "completed", "failed", "cancelled"]
OVER: tuple[BatchStatus, ...] = ("completed", "failed", "cancelled")
MOVING: tuple[BatchStatus, ...] = ("queued", "running", "waiting")
"""Its tasks are under way: `engine.batches.advance` sees to it. While it merges, its workflow does."""


class Batch(SQLModel, table=True):
    """One press of "Execute batch". Its runs act as whoever pressed; what it says of itself is the truth."""

    __tablename__ = "batches"
    __table_args__ = (
        Index("batches_open", "user_id", "created_at", postgresql_where=text("ended_at IS NULL")),
        Index("batches_by_project", "project_id", "created_at"),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    project_id: UUID
    user_id: UUID
    created_at: datetime = present()
    started_at: datetime | None = moment()
    ended_at: datetime | None = moment()

    mode: str
    """`parallel` or `queue`."""
    auto_approve: bool
    """In a queue: whether the next task begins without anybody's word."""
    stop_on_failure: bool
    conflict_behavior: str
    """`skip`, `fail` or `resolve`."""
    build_on_previous: bool
    """In a queue: whether a task begins with its predecessors' results."""
    checks: list[str] = Field(default_factory=list, sa_column=Column(JSONB, nullable=False))
    """Commands that the merged result has to pass."""
    base_branch: str
    author_name: str
    author_email: str

    status: str = "queued"
    message: str = Field(default="", sa_type=Text)
    """What it does now, one line."""
    error: str | None = Field(default=None, sa_type=Text)
    error_kind: str | None = None
    owner: str | None = None
    fence: int = Field(default=0, sa_type=BigInteger)
    """As a run's (`engine.ownership`)."""
    round: int = 0
    """How often its merging has begun: a conflict that goes back to its task is followed by another."""
    cancel_requested_at: datetime | None = moment()
    cancel_taken_at: datetime | None = moment()

    branch: str
    """`openlinear/batch-{id}`; suffixed where that holds commits that are not ours."""
    base_sha: str | None = None
    head_sha: str | None = None
    pushed_sha: str | None = None
    pr_url: str | None = None
    pr_number: int | None = None
    trials: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSONB, nullable=False))
    """What the checks said of each tree they were tried on, by its hash: `engine.checks.Tried`."""


class Member(SQLModel, table=True):
    """What a batch knows of one of its runs, beside what the run says of itself."""

    __tablename__ = "batch_members"
    __table_args__ = (Index("batch_members_in_order", "batch_id", "position", unique=True),)

    run_id: UUID = Field(sa_column=Column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True))
    batch_id: UUID = Field(sa_column=Column(ForeignKey("batches.id", ondelete="CASCADE"), nullable=False))
    position: int
    waits_for: list[str] = Field(default_factory=list, sa_column=Column(JSONB, nullable=False))
    """Ids of the tasks of this batch whose work has to be there first."""
    handed_in_at: datetime | None = moment()
    """When its work was there for the batch to merge. From then on it takes no slot."""
    approved_at: datetime | None = moment()
    left_out: str | None = Field(default=None, sa_type=Text)
    """Why its work is not in the batch's result, for a person."""
    left_out_kind: str | None = None
    """`clash` or `checks`."""
    output: str = Field(default="", sa_type=Text)
    """What the check that its merge broke said last."""
    merged_sha: str | None = None
    """The merge commit that brought it in."""
    head_sha: str | None = None
    start_sha: str | None = None
    """The run's own of these names in its first turn, once it has a second."""
    readied: int = 0
    begun: int = 0
    """How many of its turns have a workspace, or one on its way, and how many an agent at work."""
    turn: int = 1
    """2 once its conflict went back to its agent; there is no third."""
    mends_sha: str | None = None
    """The others' merged work that its agent was asked to reconcile with."""
    clashing: list[str] = Field(default_factory=list, sa_column=Column(JSONB, nullable=False))
    """The files that its agent was asked to reconcile."""
