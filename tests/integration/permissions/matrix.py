"""Who may do what: an entry for every operation of the API.

A new route needs a line here, or the build fails. It says whose call succeeds (a rule), and what a valid
call holds: `{names}` are filled with the ids of what it is aimed at (see `world.py`), `{my_names}` with
the caller's own. It is called on every kind of thing that has all the names it uses.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from tests.integration.permissions.world import IN_TEAM, ROLES, Kind, Role

Outcome = Literal["done", "401", "403", "404", "422"]


@dataclass(frozen=True)
class Rule:
    """`done` are those who may, by kind; `refused` what others in sight of it are told, and `hidden` those
    out of sight."""

    name: str
    done: Mapping[Kind, tuple[Role, ...]]
    refused: Outcome = "403"
    hidden: Outcome = "404"
    nobody: Outcome = "401"

    def outcome(self, role: Role, kind: Kind) -> Outcome:
        if role in self.done[kind]:
            return "done"
        if role == "nobody":
            return self.nobody
        return self.refused if sees(role, kind) else self.hidden


def sees(role: Role, kind: Kind) -> bool:
    return role == "owner" if kind == "personal" else role in IN_TEAM


def _rule(
    name: str, personal: tuple[Role, ...], team: tuple[Role, ...], members: tuple[Role, ...], **more: Any
) -> Rule:
    return Rule(name, {"personal": personal, "team": team, "member's": members}, **more)


_OWNER: tuple[Role, ...] = ("owner",)
_ADMINS: tuple[Role, ...] = ("admin", "owner")
_ALL: tuple[Role, ...] = ROLES[1:]

OPEN = _rule("anybody", ROLES, ROLES, ROLES)
SELF = _rule("whoever is signed in, for themselves", _ALL, _ALL, _ALL)
SEES = _rule("who sees it", _OWNER, IN_TEAM, IN_TEAM)
MANAGES = _rule("its owner, a team's admins", _OWNER, _ADMINS, _ADMINS)
OWNS = _rule("its owner, a team's owners", _OWNER, _OWNER, _OWNER)
RUNS = _rule("who began it, and a team's admins", _OWNER, _ADMINS, IN_TEAM)
KEEPS = _rule("who began it", _OWNER, _OWNER, ("member",), refused="404")
FIRST = _rule("the first account", ("first",), ("first",), ("first",), hidden="403")
MIXED = _rule("nobody: it is not the caller's to combine", (), (), (), refused="404")
"""One id is the caller's own, another is not. Called by those alone who do not see the other."""
UNFIT = _rule("nobody: named where it does not belong", (), (), (), refused="422", hidden="422")
"""The same, where what is named is part of what is sent."""
STREAM = _rule("whoever is signed in, for what they see (test_streams.py)", (), (), ())


@dataclass(frozen=True)
class Entry:
    """`call` is `METHOD /path` as the OpenAPI document has it, with a query where that matters. `ok` is how
    the status of a permitted call begins: 2 unless it is to show that nobody else is told of a conflict.
    `shows` are scopes whose texts this answer may hold by design."""

    call: str
    rule: Rule
    body: Any = None
    ok: str = "2"
    shows: tuple[str, ...] = ()

    @property
    def method(self) -> str:
        return self.call.split()[0]

    @property
    def url(self) -> str:
        return self.call.split()[1]

    @property
    def operation(self) -> tuple[str, str]:
        return self.method, _BRACED.sub("{}", self.url.partition("?")[0])

    @cached_property
    def names(self) -> frozenset[str]:
        return frozenset(_BRACED.findall(f"{self.url} {self.body}"))


_BRACED = re.compile(r"{(\w+)}")


def filled(value: Any, ids: Mapping[str, str]) -> Any:
    """The value with every `{name}` in its texts replaced."""
    if isinstance(value, str):
        return _BRACED.sub(lambda found: ids[found[1]], value)
    if isinstance(value, dict):
        return {key: filled(one, ids) for key, one in value.items()}
    return [filled(one, ids) for one in value] if isinstance(value, list) else value


def normalized(path: str) -> str:
    """`/api/tasks/{}` of `/api/tasks/{task_id}`."""
    return _BRACED.sub("{}", path)
