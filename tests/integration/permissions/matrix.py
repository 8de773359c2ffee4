"""Who may do what: an entry for every operation of the API.

A new route needs a line here, or the build fails. It says whose call succeeds (a rule), and what a valid
call holds: `{names}` are filled with the ids of what it is aimed at (see `world.py`), `{my_names}` with
the caller's own. It is called on every kind of thing that has all the names it uses.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass, replace
from typing import Any, Literal, Protocol

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
FIRST = _rule(
    "the first account, which is the administrator's", ("first",), ("first",), ("first",), hidden="403"
)
MIXED = _rule("nobody: it is not the caller's to combine", (), (), (), refused="404")
"""One id is the caller's own, another is not. Called by those alone who do not see the other."""
UNFIT = _rule("nobody: named where it does not belong", (), (), (), refused="422", hidden="422")
"""The same, where what is named is part of what is sent."""
LOCAL = _rule("anybody: it concerns their page alone", ROLES, ROLES, ROLES)
STREAM = _rule("whoever is signed in, for what they see (test_streams.py)", (), (), ())


class Aimed(Protocol):
    """What a walk asks of an entry, whatever it calls."""

    @property
    def rule(self) -> Rule: ...
    @property
    def ok(self) -> str:
        """How the status of a permitted call begins: 2, or how those who may are told of a conflict."""

    @property
    def shows(self) -> tuple[str, ...]:
        """Scopes whose texts the answer may hold by design."""

    @property
    def reads(self) -> bool:
        """Whether a permitted call shows something of what it is aimed at."""

    @property
    def writes(self) -> bool: ...
    @property
    def quiet(self) -> bool:
        """Whether a refusal may be shown in other ways than by a status."""

    @property
    def names(self) -> frozenset[str]: ...


@dataclass(frozen=True)
class Entry:
    """`call` is `METHOD /path` as the OpenAPI document has it, with a query where that matters. `changes` is
    False for what is sent to be answered only, and not to be kept.
    """

    call: str
    rule: Rule
    body: Any = None
    ok: str = "2"
    shows: tuple[str, ...] = ()
    changes: bool = True
    quiet = False

    def __str__(self) -> str:
        return f"{self.call} {self.body or ''}".strip()

    @property
    def method(self) -> str:
        return self.call.split()[0]

    @property
    def url(self) -> str:
        return self.call.split()[1]

    @property
    def operation(self) -> tuple[str, str]:
        return self.method, normalized(self.url.partition("?")[0])

    @property
    def reads(self) -> bool:
        return self.method == "GET"

    @property
    def writes(self) -> bool:
        return self.changes and not self.reads and self.ok.startswith("2")

    @property
    def names(self) -> frozenset[str]:
        return frozenset(_BRACED.findall(str(self)))


@dataclass(frozen=True)
class Handler:
    """An event handler of the pages as `State.handler`, called with these arguments on the page at `at`.
    `holds` is what the state holds from before, as a page does that somebody has lost sight of.
    """

    name: str
    rule: Rule
    args: Mapping[str, Any] = field(default_factory=dict)
    at: str = "/"
    holds: Mapping[str, Any] = field(default_factory=dict)
    writes: bool = False
    reads: bool = False
    ok: str = "2"
    shows: tuple[str, ...] = ()
    quiet = True

    def __str__(self) -> str:
        return f"{self.name} {dict(self.args) or ''} at {self.at}"

    @property
    def names(self) -> frozenset[str]:
        return frozenset(_BRACED.findall(f"{self} {self.holds}"))


_BRACED = re.compile(r"{(\w+)}")


def filled(value: Any, ids: Mapping[str, str]) -> Any:
    """The value with every `{name}` in its texts replaced."""
    if isinstance(value, str):
        return _BRACED.sub(lambda found: ids[found[1]], value)
    if isinstance(value, dict):
        return {key: filled(one, ids) for key, one in value.items()}
    if isinstance(value, list):
        return [filled(one, ids) for one in value]
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **filled(vars(value), ids))
    return value


def normalized(path: str) -> str:
    """`/api/tasks/{}` of `/api/tasks/{task_id}`, and of `/api/tasks/{task_id:uuid}`."""
    return re.sub(r"{[^}]*}", "{}", path)
