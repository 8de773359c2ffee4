"""Tasks and their labels."""

from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from openlinear.models.columns import belongs, time


class Task(SQLModel, table=True):
    """A card. How its runs went is the engine's to say and is not kept here."""

    __tablename__ = "tasks"
    __table_args__ = (
        UniqueConstraint("project_id", "number"),
        Index("tasks_by_column", "project_id", "archived", "status", "rank"),
        Index("tasks_by_age", "project_id", "created_at", "id"),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    project_id: UUID = belongs("projects.id", index=False)
    number: int
    title: str = Field(sa_type=Text)
    description: str = Field(default="", sa_type=Text)
    status: str = "todo"
    """todo, in_progress, done, cancelled."""
    rank: float = 0.0
    """Position in its column, ascending."""
    priority: str | None = None
    due_date: date | None = None
    agent: str = "opencode"
    model: str = ""
    """`providerId/modelId`; empty for the default."""
    limits: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSONB, nullable=False))
    """What each of its runs may cost (`engine.limits.Limits`)."""
    archived: bool = False
    created_by: UUID | None = Field(
        default=None, sa_column=Column(ForeignKey("users.id", ondelete="SET NULL"), nullable=True)
    )
    created_at: datetime = time()
    updated_at: datetime = time()
    version: int = 1


class Label(SQLModel, table=True):
    """A user's, for the tasks of their own projects, or a team's, for those of its projects."""

    __tablename__ = "labels"
    __table_args__ = (
        Index("labels_name", "user_id", text("lower(name)"), unique=True),
        Index("labels_name_in_team", "team_id", text("lower(name)"), unique=True),
        CheckConstraint("num_nonnulls(user_id, team_id) = 1", name="labels_have_one_owner"),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    user_id: UUID | None = Field(
        default=None, sa_column=Column(ForeignKey("users.id", ondelete="CASCADE"), nullable=True)
    )
    team_id: UUID | None = Field(
        default=None, sa_column=Column(ForeignKey("teams.id", ondelete="CASCADE"), nullable=True)
    )
    name: str
    color: str = "slate"
    created_at: datetime = time()


class TaskDependency(SQLModel, table=True):
    """A task waits for another of its project."""

    __tablename__ = "task_dependencies"

    task_id: UUID = Field(foreign_key="tasks.id", ondelete="CASCADE", primary_key=True)
    waits_for: UUID = Field(foreign_key="tasks.id", ondelete="CASCADE", primary_key=True, index=True)


class TaskLabel(SQLModel, table=True):
    __tablename__ = "task_labels"

    task_id: UUID = Field(foreign_key="tasks.id", ondelete="CASCADE", primary_key=True)
    label_id: UUID = Field(foreign_key="labels.id", ondelete="CASCADE", primary_key=True, index=True)
