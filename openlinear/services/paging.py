"""Lists in pages. A cursor says where the next page begins; its form is nobody's business."""

import base64
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from openlinear.services import text
from openlinear.services.errors import Invalid
from openlinear.services.views import Page

LIMIT = 50
MOST = 200
DIGITS = 19
"""More than any number here has; Python itself refuses to read thousands of them."""

T = TypeVar("T")


def encode(key: Sequence[str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(list(key)).encode()).decode().rstrip("=")


def decode(cursor: str, parts: int) -> list[str]:
    """The key that `encode` was given. Invalid when it is none of ours."""
    try:
        raw = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        key: Any = json.loads(raw)
    except (ValueError, RecursionError):
        raise bad_cursor() from None
    if not isinstance(key, list) or len(key) != parts:
        raise bad_cursor()
    if not all(isinstance(part, str) and text.storable(part) for part in key):
        raise bad_cursor()
    return key


def bad_cursor() -> Invalid:
    return Invalid("The cursor is not one that this list gave out.", cursor="is not a cursor of this list")


def number(cursor: str, below: int) -> int:
    """The position of a cursor in a list by number."""
    (position,) = decode(cursor, 1)
    if not (position.isascii() and position.isdigit() and len(position) <= DIGITS and int(position) < below):
        raise bad_cursor()
    return int(position)


def moment(cursor: str) -> tuple[datetime, UUID]:
    """The position of a cursor in a list by time and id."""
    at, ident = decode(cursor, 2)
    try:
        position = datetime.fromisoformat(at), UUID(ident)
    except ValueError:
        raise bad_cursor() from None
    if position[0].tzinfo is None:
        raise bad_cursor()
    return position


def limited(limit: int) -> int:
    if not 1 <= limit <= MOST:
        raise Invalid(f"A page holds 1 to {MOST} items.", limit=f"must be 1 to {MOST}")
    return limit


def sliced(items: Sequence[T], cursor: str | None, limit: int) -> Page[T]:
    """A page of a short list that is at hand as a whole."""
    start = 0 if cursor is None else number(cursor, 2**31)
    end = start + limited(limit)
    return Page(tuple(items[start:end]), encode([str(end)]) if end < len(items) else None)
