"""Teams, who is in them, who may come, and who did what."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, Column, ForeignKey, Identity, Index, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from openlinear.models.columns import belongs, time


class Team(SQLModel, table=True):
    __tablename__ = "teams"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    name: str
    key: str
    """In front of the task numbers of all its projects. Teams of one key do not know of each other."""
    task_counter: int = 0
    """The number of the latest task; numbers are never given twice."""
    limits: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSONB, nullable=False))
    """What each run in its projects may cost at most (`engine.limits.Limits`)."""
    created_at: datetime = time()


class Member(SQLModel, table=True):
    __tablename__ = "team_members"

    team_id: UUID = Field(foreign_key="teams.id", ondelete="CASCADE", primary_key=True)
    user_id: UUID = Field(foreign_key="users.id", ondelete="CASCADE", primary_key=True, index=True)
    role: str
    """owner, admin, member."""
    joined_at: datetime = time()


class Invitation(SQLModel, table=True):
    """A link that lets people into a team. What is in the link is kept as a digest alone."""

    __tablename__ = "team_invitations"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    team_id: UUID = belongs("teams.id")
    token_hash: str = Field(unique=True)
    role: str
    """admin or member."""
    uses_left: int
    accounts_left: int
    """How many of those it lets in may make an account for it, where one needs an invitation."""
    created_by: UUID | None = Field(
        default=None, sa_column=Column(ForeignKey("users.id", ondelete="SET NULL"), nullable=True)
    )
    created_at: datetime = time()
    expires_at: datetime = time()


class AuditEntry(SQLModel, table=True):
    """Who did what, append-only. No foreign keys: it outlives what it tells of."""

    __tablename__ = "audit_log"
    __table_args__ = (
        Index("audit_log_of_team", "team_id", "id"),
        Index("audit_log_of_user", "user_id", "id"),
    )

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    team_id: UUID | None = None
    """Whose log it is; None for what is a person's own."""
    user_id: UUID | None = None
    actor_id: UUID
    action: str
    subject: str = Field(default="", sa_type=Text)
    """What it was done to, as people called it then."""
    details: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSONB, nullable=False))
    """Never a secret."""
    at: datetime = time()
