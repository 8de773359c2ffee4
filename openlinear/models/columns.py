"""Column shapes that every table shares."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, DateTime, ForeignKey
from sqlmodel import Field


def now() -> datetime:
    return datetime.now(UTC)


def time(*, nullable: bool = False, **kwargs: Any) -> Any:
    """An aware UTC time; now, unless it may be missing."""
    default: dict[str, Any] = {"default": None} if nullable else {"default_factory": now}
    return Field(sa_column=Column(DateTime(timezone=True), nullable=nullable), **default, **kwargs)


def belongs(target: str, *, index: bool = True, **kwargs: Any) -> Any:
    """A reference to the row that owns this one; it goes with its owner."""
    return Field(
        sa_column=Column(ForeignKey(target, ondelete="CASCADE"), nullable=False, index=index, **kwargs)
    )
