"""A team's log in words."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import openlinear.services
from openlinear.components.audit import WORDS, deed_of
from openlinear.services.team_views import AuditView


def said(action: str, subject: str = "", **details: Any) -> str:
    deed = deed_of(AuditView(1, datetime.now(UTC), uuid4(), "Ada", action, subject, details))
    return f"{deed.who} {deed.text}"


@pytest.mark.parametrize(
    ("wanted", "action", "subject", "details"),
    [
        ("Ada joined as a member", "member:joined", "Ada", {"role": "member"}),
        ("Ada made Bo an owner", "member:role", "Bo", {"before": "member", "after": "owner"}),
        (
            "Ada made an invitation link for an admin: 1 use, 7 days",
            "invitation:created",
            "admin",
            {"uses": 1, "days": 7},
        ),
        (
            "Ada changed the remote of Cart: address, credential",
            "project:remote",
            "Cart",
            {"cloneUrl": "https://example.com/a.git", "credential": "changed"},
        ),
        ("Ada something:new Cart", "something:new", "Cart", {}),
    ],
)
def test_what_was_done_is_said_in_words(
    wanted: str, action: str, subject: str, details: dict[str, Any]
) -> None:
    assert said(action, subject, **details) == wanted


def test_there_are_words_for_all_that_is_written_down() -> None:
    (folder,) = openlinear.services.__path__
    sources = "".join(path.read_text() for path in Path(folder).glob("*.py"))
    written = set(re.findall(r'"((?:team|member|invitation|identity|project|run|webhook):[a-z]+)"', sources))
    news, unread = {"project:updated", "team:left"}, {"team:deleted"}  # nobody has that team's page then
    assert written - news - unread == set(WORDS)
