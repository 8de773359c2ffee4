"""Processes that are alive, and what all of them counted."""

from datetime import datetime

from sqlalchemy import Text
from sqlmodel import Field, SQLModel

from engine.models.columns import present


class Worker(SQLModel, table=True):
    """An engine process that is alive while its heartbeat is fresh. Without its row it may write nothing."""

    __tablename__ = "workers"

    id: str = Field(primary_key=True)
    """One process's: a worker that starts again under its name has another."""
    name: str
    version: str
    """Of its workflows' code (`engine.queues.APPLICATION_VERSION`)."""
    started_at: datetime = present()
    seen_at: datetime = present()
    sandbox: str = ""
    trouble: str | None = Field(default=None, sa_type=Text)
    """Why its sandbox cannot run agents now, with the cure."""


class WebProcess(SQLModel, table=True):
    """A web process that is alive while its row is fresh, and what it serves now."""

    __tablename__ = "web_processes"

    id: str = Field(primary_key=True)
    seen_at: datetime = present()
    websockets: int = 0


class MetricTotal(SQLModel, table=True):
    """A number that only grows, summed over all processes that there were. See `engine.metrics`."""

    __tablename__ = "metric_totals"

    name: str = Field(primary_key=True)
    labels: str = Field(primary_key=True)
    """JSON, keys sorted."""
    part: str = Field(primary_key=True)
    """Empty for a counter; of a histogram a bucket's upper bound, or `sum`."""
    value: float
