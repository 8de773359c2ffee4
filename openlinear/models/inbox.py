"""What people are told of their own work, and what was answered to a request that may come twice."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from openlinear.models.columns import belongs, time


class InboxItem(SQLModel, table=True):
    """How a run or a batch stands that its person should look at: one row each, with the latest."""

    __tablename__ = "inbox"
    __table_args__ = (
        Index("inbox_of_user", "user_id", "at", "id"),
        CheckConstraint("num_nonnulls(run_id, batch_id) = 1", name="inbox_is_of_one_thing"),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    user_id: UUID = belongs("users.id", index=False)
    """Who pressed Execute."""
    project_id: UUID = belongs("projects.id")
    task_id: UUID | None = Field(
        default=None, sa_column=Column(ForeignKey("tasks.id", ondelete="CASCADE"), nullable=True, index=True)
    )
    run_id: UUID | None = Field(default=None, unique=True)
    batch_id: UUID | None = Field(default=None, unique=True)
    status: str
    """`done` or `completed`, `failed`, or `waiting` for an answer or an approval."""
    title: str = Field(default="", sa_type=Text)
    """A batch's; a run has its task's."""
    message: str = Field(default="", sa_type=Text)
    at: datetime = time()
    read_at: datetime | None = time(nullable=True)


class Answered(SQLModel, table=True):
    """What a request with an `Idempotency-Key` was answered, for as long as it may be sent again."""

    __tablename__ = "idempotency_keys"

    user_id: UUID = Field(foreign_key="users.id", ondelete="CASCADE", primary_key=True)
    key_hash: str = Field(primary_key=True)
    request_hash: str
    """Of the method, the address and the body: the same key for another request is refused."""
    answer: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB(none_as_null=True)))
    created_at: datetime = time()
