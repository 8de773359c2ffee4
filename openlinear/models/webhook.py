"""Webhooks: where ends of runs and batches are told, and what became of each telling."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from openlinear.models.columns import belongs, time


class Webhook(SQLModel, table=True):
    """An address that is told. It is a team's, or a person's for their own projects."""

    __tablename__ = "webhooks"
    __table_args__ = (CheckConstraint("num_nonnulls(user_id, team_id) = 1", name="webhooks_have_one_owner"),)

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    user_id: UUID | None = Field(
        default=None, sa_column=Column(ForeignKey("users.id", ondelete="CASCADE"), nullable=True, index=True)
    )
    team_id: UUID | None = Field(
        default=None, sa_column=Column(ForeignKey("teams.id", ondelete="CASCADE"), nullable=True, index=True)
    )
    url: str = Field(sa_type=Text)
    description: str = Field(default="", sa_type=Text)
    events: list[str] = Field(default_factory=list, sa_column=Column(JSONB, nullable=False))
    enabled: bool = True
    secret: str = Field(sa_type=Text)
    """Sealed: what signs, and for a while what signed before (`services.webhook_secrets`)."""
    failing_since: datetime | None = time(nullable=True)
    """When the first of the failures was that no success has followed."""
    disabled_reason: str = Field(default="", sa_type=Text)
    """Why it was disabled by itself."""
    created_at: datetime = time()


class WebhookDelivery(SQLModel, table=True):
    """One thing that is told to one webhook, written in the transaction in which it happened."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        Index("webhook_deliveries_due", "webhook_id", "due_at", postgresql_where=text("status = 'pending'")),
        Index("webhook_deliveries_latest", "webhook_id", "created_at"),
    )

    id: UUID = Field(primary_key=True)
    """The same for the same thing told to the same webhook, so that nothing is told as two."""
    webhook_id: UUID = belongs("webhooks.id", index=False)
    type: str
    body: str = Field(sa_type=Text)
    """What is sent, byte for byte."""
    status: str = "pending"
    """pending, delivered, failed."""
    attempts: int = 0
    """How often it was taken up; who took it up writes its result only while this is still their number."""
    failures: int = 0
    """How many failed since it was last asked for."""
    due_at: datetime = time()
    """When to take it up (again); while somebody sends it, when they are given up."""
    response_code: int | None = None
    error: str = Field(default="", sa_type=Text)
    created_at: datetime = time()
    attempted_at: datetime | None = time(nullable=True)


class GitHubHook(SQLModel, table=True):
    """The secret with which GitHub signs what it tells of one project."""

    __tablename__ = "github_hooks"

    project_id: UUID = Field(foreign_key="projects.id", ondelete="CASCADE", primary_key=True)
    secret: str = Field(sa_type=Text)
    """Sealed."""
    created_at: datetime = time()
    heard_at: datetime | None = time(nullable=True)


class GitHubMessage(SQLModel, table=True):
    """What GitHub told already, by its signature: the header with the delivery's id is not signed."""

    __tablename__ = "github_messages"

    signature: str = Field(primary_key=True)
    """For whom, and the signature."""
    heard_at: datetime = time()


class PullRequest(SQLModel, table=True):
    """What GitHub last said of a pull request, to one project."""

    __tablename__ = "pull_requests"

    project_id: UUID = Field(foreign_key="projects.id", ondelete="CASCADE", primary_key=True)
    url: str = Field(primary_key=True, sa_type=Text)
    """In lower case, as GitHub compares names."""
    state: str
    """open, closed, merged."""
    changed_at: datetime = time()
    """By GitHub's clock: what is older is not news."""
