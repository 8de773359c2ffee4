"""Where runs are carried out."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Column, ForeignKey
from sqlmodel import Field, SQLModel

from engine.models.columns import present


class Container(SQLModel, table=True):
    """A user's sandbox. The row's lock is held while it is woken, paused or removed."""

    __tablename__ = "containers"

    user_id: UUID = Field(primary_key=True)
    used_at: datetime = present()
    """The end of the latest lease; idle time counts from here."""
    spent: bool = False
    """A run was stopped in there: what escaped being killed goes with it, once no run needs it."""


class NextRun(SQLModel, table=True):
    """The id that a user's next run will have, once its folder is there (`engine.ahead`)."""

    __tablename__ = "next_runs"

    user_id: UUID = Field(primary_key=True)
    run_id: UUID
    ready: bool = False


class Lease(SQLModel, table=True):
    """A run that needs its user's sandbox awake."""

    __tablename__ = "leases"

    run_id: UUID = Field(sa_column=Column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True))
    user_id: UUID = Field(index=True)
