"""What a task's fields may hold."""

import re
from collections.abc import Callable
from typing import Any

from openlinear.services import text
from openlinear.services.errors import Invalid

STATUSES = ("todo", "in_progress", "done", "cancelled")
PRIORITIES = ("low", "medium", "high", "urgent")
AGENTS = ("opencode",)
TITLE_LIMIT = 500
DESCRIPTION_LIMIT = 100_000
MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}/[^\s\x00-\x1f\x7f\ud800-\udfff]{1,200}")


def checked(fields: dict[str, Any]) -> dict[str, Any]:
    """The given fields as they are kept. Invalid names the first that cannot be."""
    check: dict[str, Callable[[Any], Any]] = {
        "title": lambda value: text.line(value, "title", limit=TITLE_LIMIT),
        "description": lambda value: text.block(value, "description", limit=DESCRIPTION_LIMIT),
        "status": lambda value: _one_of(value, "status", STATUSES),
        "priority": lambda value: value if value is None else _one_of(value, "priority", PRIORITIES),
        "due_date": lambda value: value,
        "agent": lambda value: _one_of(value, "agent", AGENTS),
        "model": _model,
        "archived": bool,
    }
    return {name: check[name](value) for name, value in fields.items()}


def _one_of(value: str, field: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        choice = ", ".join(allowed)
        raise Invalid(f"The {field} must be one of: {choice}.", **{field: f"must be one of: {choice}"})
    return value


def _model(value: str) -> str:
    if value and not MODEL.fullmatch(value):
        raise Invalid('A model is written "provider/model".', model='must look like "provider/model"')
    return value
