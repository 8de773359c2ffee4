"""Projects: a repository that tasks change."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import Column, ForeignKey, Index, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from openlinear.models.columns import belongs, time


class Project(SQLModel, table=True):
    """Hidden while `verified_at` is None: its remote is being read for the first time."""

    __tablename__ = "projects"
    __table_args__ = (
        Index(
            "projects_key",
            "user_id",
            "key",
            unique=True,
            postgresql_where=text("verified_at IS NOT NULL AND team_id IS NULL"),
        ),
        Index("projects_one_demo", "user_id", unique=True, postgresql_where=text("demo")),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    user_id: UUID = belongs("users.id")
    """Whose it is; in a team, who made it."""
    team_id: UUID | None = Field(
        default=None, sa_column=Column(ForeignKey("teams.id"), nullable=True, index=True)
    )
    name: str
    key: str
    """In front of its task numbers; in a team, the team's."""
    description: str = Field(default="", sa_type=Text)
    clone_url: str = Field(sa_type=Text)
    default_branch: str = ""
    remote_secret: str | None = Field(default=None, sa_type=Text)
    """The remote's own credential, sealed: `{username, password}`."""
    demo: bool = False
    checks: list[str] = Field(default_factory=list, sa_column=Column(JSONB, nullable=False))
    """Commands that a batch's merged result has to pass."""
    task_counter: int = 0
    """The number of the latest task; numbers are never given twice. A team counts for all its projects."""
    created_at: datetime = time()
    verified_at: datetime | None = time(nullable=True)
