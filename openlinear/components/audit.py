"""A team's log as people read it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from openlinear.components.cards import milliseconds
from openlinear.services.team_views import AuditView


@dataclass(frozen=True)
class Deed:
    """`text` goes on after the person's name."""

    id: int
    who: str
    text: str
    at: int


Words = Callable[[str, dict[str, Any]], str]
WORDS: dict[str, Words] = {
    "team:created": lambda _, d: f"made the team, with the key {d.get('key', '')}",
    "team:renamed": lambda subject, d: f"renamed the team {d.get('before', '')} to {subject}",
    "team:limited": lambda *_: "changed the limits of its runs",
    "member:joined": lambda _, d: f"joined as {_a(d.get('role'))}",
    "member:left": lambda *_: "left the team",
    "member:removed": lambda subject, _: f"removed {subject}",
    "member:role": lambda subject, d: f"made {subject} {_a(d.get('after'))}",
    "invitation:created": lambda subject, d: (
        f"made an invitation link for {_a(subject)}: "
        f"{_count(d.get('uses'), 'use')}, {_count(d.get('days'), 'day')}"
    ),
    "invitation:revoked": lambda subject, _: f"revoked an invitation link for {_a(subject)}",
    "project:created": lambda subject, _: f"added the project {subject}",
    "project:renamed": lambda subject, d: f"renamed the project {d.get('before', '')} to {subject}",
    "project:remote": lambda subject, d: f"changed the remote of {subject}{_remote(d)}",
    "project:deleted": lambda subject, _: f"deleted the project {subject}",
    "identity:connected": lambda subject, d: f"connected {d.get('provider', '')} as {subject}",
    "identity:disconnected": lambda subject, d: (
        f"disconnected {d.get('provider', '')}, where they are {subject}"
    ),
    "project:hooked": lambda subject, _: f"made a secret for GitHub's webhook of {subject}",
    "project:unhooked": lambda subject, _: f"removed GitHub's webhook of {subject}",
    "webhook:created": lambda subject, _: f"added the webhook {subject}",
    "webhook:changed": lambda subject, _: f"changed the webhook {subject}",
    "webhook:rotated": lambda subject, _: f"made a new secret for the webhook {subject}",
    "webhook:deleted": lambda subject, _: f"deleted the webhook {subject}",
    "run:cancelled": lambda subject, _: f"cancelled somebody's run of {subject}",
    "run:answered": lambda subject, _: f"answered for somebody's run of {subject}",
}


def deed_of(entry: AuditView) -> Deed:
    words = WORDS.get(entry.action)
    text = words(entry.subject, entry.details) if words else f"{entry.action} {entry.subject}"
    return Deed(entry.id, entry.actor or "Somebody", text, milliseconds(entry.at))


def _a(role: Any) -> str:
    return f"a {role}" if role == "member" else f"an {role}"


def _count(number: Any, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _remote(details: dict[str, Any]) -> str:
    names = {"cloneUrl": "address", "defaultBranch": "default branch", "credential": "credential"}
    changed = [said for name, said in names.items() if name in details]
    return f": {', '.join(changed)}" if changed else ""
