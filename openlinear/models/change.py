"""What changed in the product, in the order in which it was committed."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from openlinear.models.columns import time


class Change(SQLModel, table=True):
    """One piece of news, append-only, numbered together with the engine's run events.

    No foreign keys: that something was deleted is news too.
    """

    __tablename__ = "changes"

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, primary_key=True, server_default=text("news_id()"))
    )
    kind: str
    """`task:` or `project:` with `created`, `updated` or `deleted`; `session:ended`; `team:left`;
    `inbox:updated`."""
    user_id: UUID
    """Whose it is: the acting user; for a login that ended or a member who left, that one."""
    team_id: UUID | None = None
    """Whose it is too, where its project is gone."""
    project_id: UUID | None = None
    task_id: UUID | None = None
    data: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB))
    changed_at: datetime = time()
