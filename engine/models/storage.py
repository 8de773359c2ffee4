"""What lies on the disk, and what the janitor found."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, DateTime, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from engine.models.columns import moment, present


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
    created_at: datetime = present()
    expires_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    bundle_bytes: int = Field(default=0, sa_type=BigInteger)
    files_bytes: int = Field(default=0, sa_type=BigInteger)
    left_out: list[dict[str, Any]] = Field(default_factory=list, sa_column=Column(JSONB, nullable=False))
    """`{name, bytes, why}` of each file or folder that was not kept."""
    restored_at: datetime | None = moment()


class Finding(SQLModel, table=True):
    """Something the janitor met that was not as it should be. One row a subject, as last seen."""

    __tablename__ = "findings"

    kind: str = Field(primary_key=True)
    subject: str = Field(primary_key=True)
    detail: str = Field(sa_type=Text)
    mended: bool
    """Whether it was put right; where not, somebody has to look."""
    first_found_at: datetime = present()
    found_at: datetime = present()


class StorageReport(SQLModel, table=True):
    """The latest answer to a question about storage: `disk` (see engine.disk), `janitor` (its last round)."""

    __tablename__ = "storage_reports"

    name: str = Field(primary_key=True)
    made_at: datetime = present()
    value: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
