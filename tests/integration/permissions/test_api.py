"""Every operation of the API, called by everybody on everything.

Whoever may not learns nothing: what is not theirs to see is answered byte for byte, and with the very same
questions to the database, as what does not exist. And nothing is written.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from openlinear.api.app import create_api
from openlinear.settings import get_settings
from tests.integration.permissions.api_entries import ENTRIES
from tests.integration.permissions.evidence import Evidence, asked, evidence
from tests.integration.permissions.matrix import MIXED, STREAM, UNFIT, Entry, filled, normalized, sees
from tests.integration.permissions.world import ROLES, Kind, Role, World, build
from tests.support.product import MakeActor

Answer = tuple[int, tuple[tuple[str, str], ...], bytes]
READS = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Call:
    """An entry, aimed at something by somebody."""

    entry: Entry
    role: Role
    kind: Kind
    ids: Mapping[str, str]
    twin: Mapping[str, str]
    """The same names, with ids of what does not exist."""

    def __str__(self) -> str:
        entry = self.entry
        return f"{entry.call} ({self.kind})" + (f" with {entry.body}" if entry.body else "")


def calls(world: World) -> Iterator[Call]:
    """Each entry once for each who may call it and each kind of thing it can be aimed at."""
    for entry in ENTRIES:
        aimed = {name for name in entry.names if not name.startswith("my_")}
        kinds = [kind for kind, ids in world.things.items() if aimed <= ids.keys()] if aimed else ["team"]
        for kind in kinds:
            for role in ROLES:
                own = world.people[role].own if role in world.people else {}
                apart = entry.rule in (MIXED, UNFIT) and sees(role, kind)
                if (
                    apart
                    or not entry.names - aimed <= own.keys()
                    or (entry.rule is STREAM and role != "nobody")
                ):
                    continue
                things = {name: world.things[kind][name] for name in aimed}
                twin = {name: _other(things[name]) for name in aimed}
                yield Call(entry, role, kind, {**own, **things}, {**own, **twin})


@pytest.fixture
async def world(make_actor: MakeActor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("OPENLINEAR_HOME", str(tmp_path))
    get_settings.cache_clear()
    return await build(make_actor, tmp_path)


def _other(ident: str) -> str:
    """Nothing's id, which sorts as this one does: some rows are locked in the order of their ids."""
    return ident[:8] + str(uuid4())[8:]


def test_every_operation_has_an_entry_and_every_entry_an_operation() -> None:
    paths = create_api().openapi()["paths"]
    there = {(method.upper(), normalized(path)) for path, methods in paths.items() for method in methods}
    listed = {entry.operation for entry in ENTRIES}
    assert there - listed == set(), "give these a line in api_entries.py"
    assert listed - there == set(), "these are gone: take their lines out of api_entries.py"


async def test_nobody_does_or_learns_what_is_not_theirs(
    api: httpx.AsyncClient, world: World, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong: dict[str, list[str]] = {}
    made: Counter[str] = Counter()
    async with evidence(database) as kept:
        for call in calls(world):
            made[call.entry.rule.outcome(call.role, call.kind)] += 1
            async for what in _wrongs(api, world, kept, call):
                wrong.setdefault(f"{call}: {what}", []).append(call.role)
    with capsys.disabled():
        operations = len({entry.operation for entry in ENTRIES})
        print(
            f"\npermission matrix, API: {operations} operations, {len(ROLES)} callers, "
            f"{len(world.things)} kinds of things: {made.total()} calls, {made['done']} permitted, "
            f"{made.total() - made['done']} refused"
        )
    assert not wrong, "\n".join(["", *(f"{', '.join(who)}: {what}" for what, who in wrong.items())])


async def _wrongs(api: httpx.AsyncClient, world: World, kept: Evidence, call: Call) -> Any:
    """What is not as the matrix says, in words."""
    entry, outcome = call.entry, call.entry.rule.outcome(call.role, call.kind)
    with asked() as statements:
        answer = await _send(api, world, call, call.ids)
    written = await kept.written()
    expected = entry.ok if outcome == "done" else outcome
    if not str(answer[0]).startswith(expected):
        yield f"{answer[0]} instead of {expected}: {answer[2][:200]!r}"
    aimed, sight = call.twin != call.ids, sees(call.role, call.kind)
    if entry.method == "GET" and outcome == "done" and aimed and sight and b"canary" not in answer[2]:
        yield "shows nothing of what it is about"
    for needle in _leaks(world, call, answer):
        yield f"shows {needle!r}, which is not theirs to see"
    may_write = outcome == "done" and expected.startswith("2") and entry.method not in READS
    if bool(written) != may_write:
        yield f"writes {', '.join(sorted(written)) or 'nothing'}"
    if call.role != "nobody" and aimed and not sight and not entry.shows:
        with asked() as others:
            there_not = await _send(api, world, call, call.twin)
        await kept.written()
        if _plain(answer, call.ids) != _plain(there_not, call.twin):
            yield f"tells it from what does not exist: {answer[2]!r} and {there_not[2]!r}"
        if statements != others:
            yield f"asks the database {len(statements)} times, and {len(others)} for what does not exist"


async def _send(api: httpx.AsyncClient, world: World, call: Call, ids: Mapping[str, str]) -> Answer:
    headers = {}
    if call.role in world.people:
        headers["Authorization"] = f"Bearer {world.people[call.role].token}"
    entry = call.entry
    answer = await api.request(
        entry.method, filled(entry.url, ids), json=filled(entry.body, ids), headers=headers
    )
    api.cookies.clear()
    return answer.status_code, tuple(sorted(answer.headers.items())), answer.content


def _leaks(world: World, call: Call, answer: Answer) -> list[str]:
    text = repr(answer[1]) + answer[2].decode(errors="replace")
    sent = set(call.ids.values())
    return [one for one in world.hidden_from(call.role, *call.entry.shows) if one not in sent and one in text]


def _plain(answer: Answer, ids: Mapping[str, str]) -> str:
    """The answer with the ids it was asked with taken out."""
    text = repr(answer)
    for name, ident in ids.items():
        text = text.replace(ident, f"{{{name}}}")
    return text
