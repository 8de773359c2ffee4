"""Each entry of a matrix, called by everybody on everything it can be aimed at, and what is wrong with it."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from uuid import uuid4

from tests.integration.permissions.evidence import Evidence, asked
from tests.integration.permissions.matrix import MIXED, STREAM, UNFIT, Aimed, Outcome, sees
from tests.integration.permissions.world import ROLES, Kind, Role, World

EVERYBODYS: Mapping[str, str] = {"my_agent": "opencode"}
"""Names that stand for the same whoever calls."""


@dataclass(frozen=True)
class Call:
    """An entry, aimed at something by somebody. `twin` has the same names, for what does not exist."""

    entry: Aimed
    role: Role
    kind: Kind
    ids: Mapping[str, str]
    twin: Mapping[str, str]

    @property
    def outcome(self) -> Outcome:
        return self.entry.rule.outcome(self.role, self.kind)

    @property
    def sighted(self) -> bool:
        return sees(self.role, self.kind)


@dataclass(frozen=True)
class Seen:
    """What came back: a status as HTTP has them, and all that was sent."""

    status: str
    text: str


Perform = Callable[[Call, Mapping[str, str]], Awaitable[Seen]]


def calls(world: World, entries: Sequence[Aimed]) -> Iterator[Call]:
    for entry in entries:
        aimed = {name for name in entry.names if not name.startswith("my_")}
        kinds = [kind for kind, ids in world.things.items() if aimed <= ids.keys()] if aimed else ["team"]
        for kind in kinds:
            things = {name: world.things[kind][name] for name in aimed}
            twin = {name: _other(ident) for name, ident in things.items()}
            for role in ROLES:
                own = {**EVERYBODYS, **(world.people[role].own if role in world.people else {})}
                if entry.names - aimed <= own.keys() and _concerns(entry, role, kind):
                    yield Call(entry, role, kind, {**own, **things}, {**own, **twin})


def _concerns(entry: Aimed, role: Role, kind: Kind) -> bool:
    if entry.rule in (MIXED, UNFIT):
        return not sees(role, kind)
    return entry.rule is not STREAM or role == "nobody"


def _other(ident: str) -> str:
    """Nothing's id, which sorts as this one does: some rows are locked in the order of their ids."""
    return ident[:8] + str(uuid4())[8:]


async def walk(
    world: World, kept: Evidence, entries: Sequence[Aimed], perform: Perform
) -> tuple[Counter[str], list[str]]:
    """How many calls came to what, and what is wrong: one line for each way in which one is."""
    made: Counter[str] = Counter()
    wrong: dict[str, list[str]] = {}
    for call in calls(world, entries):
        made[call.outcome] += 1
        async for what in _wrongs(world, kept, call, perform):
            wrong.setdefault(f"{call.entry} ({call.kind}): {what}", []).append(call.role)
    return made, [f"{', '.join(who)}: {what}" for what, who in wrong.items()]


async def _wrongs(world: World, kept: Evidence, call: Call, perform: Perform) -> AsyncIterator[str]:
    entry, done, aimed = call.entry, call.outcome == "done", call.twin != call.ids
    with asked() as questions:
        seen = await perform(call, call.ids)
    written = await kept.written()
    expected = entry.ok if done else call.outcome
    if not (seen.status.startswith(expected) or (entry.quiet and not done and seen.status == "200")):
        yield f"{seen.status} instead of {expected}: {seen.text[:300]}"
    if done and entry.reads and aimed and call.sighted and "canary" not in seen.text:
        yield "shows nothing of what it is about"
    for needle in world.hidden_from(call.role, *(entry.shows if done else ())):
        if needle in seen.text and needle not in call.ids.values():
            yield f"shows {needle!r}, which is not theirs to see"
    if bool(written) != (done and entry.writes):
        yield f"writes {', '.join(sorted(written)) or 'nothing'}"
    if call.role != "nobody" and aimed and not call.sighted and not entry.shows:
        with asked() as others:
            nothing = await perform(call, call.twin)
        await kept.written()
        there, not_there = plain(seen, call.ids), plain(nothing, call.twin)
        if there != not_there:
            same = sum(
                1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(there, not_there, strict=False))
            )
            start = max(0, same - 100)
            yield f"tells it from what does not exist: {there[start:][:200]} and {not_there[start:][:200]}"
        if questions != others:
            yield f"asks the database {len(questions)} times, and {len(others)} for what does not exist"


def plain(seen: Seen, ids: Mapping[str, str]) -> str:
    """What came back, with the ids it was asked with taken out."""
    text = f"{seen.status} {seen.text}"
    for name, ident in ids.items():
        text = text.replace(ident, f"{{{name}}}")
    return text


def told(what: str, count: int, made: Counter[str], world: World) -> str:
    """The matrix's size, for a person."""
    return (
        f"\npermission matrix: {count} {what}, {len(ROLES)} callers, {len(world.things)} kinds of things: "
        f"{made.total()} calls, {made['done']} permitted, {made.total() - made['done']} refused"
    )
