"""Column shapes that the engine's tables share."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, DateTime
from sqlmodel import Field


def now() -> datetime:
    return datetime.now(UTC)


def moment() -> Any:
    """A moment that may be missing."""
    return Field(default=None, sa_column=Column(DateTime(timezone=True)))


def present() -> Any:
    """A moment that is the row's making unless it is given, for the ORM and for plain inserts."""
    return Field(default_factory=now, sa_column=Column(DateTime(timezone=True), nullable=False, default=now))
