"""What happens to a run, written down: its row and its numbered events, in one transaction each time.

The run's row is locked first, so numbers have no gap; events come last, since numbering them takes
the lock of all news until the transaction ends (see `engine.models`).
"""

import hashlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, insert, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from engine.db import Database
from engine.models import ENDED, Run, RunEvent
from engine.ownership import Hold, require

MESSAGE_CHARS = 200
NAME_CHARS = 300
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Entry:
    """An event to be written. `(part, state)` names it: what is there already is not written again."""

    kind: str
    part: str
    state: str = ""
    message: str = ""
    level: str = "info"
    details: Mapping[str, Any] | None = None
    add: Mapping[str, float] = field(default_factory=dict)
    """Columns of the run that grow by this much, if the event is new: tokens_in, cost, …"""

    def __post_init__(self) -> None:
        object.__setattr__(self, "part", _name(self.part))
        object.__setattr__(self, "state", _name(self.state))


class Recorder:
    """Writes one run's history, for as long as the hold on it lasts: Superseded afterwards."""

    def __init__(self, database: Database, hold: Hold) -> None:
        self._database = database
        self._hold = hold
        self.id = hold.id

    async def run(self) -> Run:
        """The row as it is now. Before anything outside is touched, this is a check of the hold too."""
        async with self._database.transaction() as session:
            run = await session.get_one(Run, self.id)
            require(run, self._hold)
            return run

    async def subject(self) -> Run:
        """What `engine.step` asks of any recorder."""
        return await self.run()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[tuple[AsyncSession, Run]]:
        """A transaction that holds the run's lock, and whose writes no older owner can make."""
        async with self._database.transaction() as session:
            run = await session.get_one(Run, self.id, with_for_update=True)
            require(run, self._hold)
            yield session, run

    async def note(self, message: str, *, part: str, level: str = "info", **columns: Any) -> None:
        """A line of progress: the card shows it, the log keeps it."""
        await self.write([Entry("status", part, message=message, level=level)], message=message, **columns)

    async def write(self, entries: Sequence[Entry], **columns: Any) -> None:
        """Set `columns` of the run and append what is new of `entries`. An ended run stays as it is."""
        async with self.transaction() as (session, run):
            if run.status not in ENDED:
                await append(session, run, entries, **columns)

    async def postscript(self, message: str, *, part: str, level: str = "info") -> None:
        """A line in the log of a run that may have ended: what became of what it left behind."""
        async with self.transaction() as (session, run):
            await append(session, run, [Entry("status", part, message=message, level=level)])

    async def text_offsets(self) -> dict[str, str]:
        """How far each text part is recorded: part → characters, as text (see `ports.Agent.events`)."""
        async with self._database.transaction() as session:
            rows = await session.execute(
                select(col(RunEvent.part), func.sum(func.char_length(col(RunEvent.message))))
                .where(col(RunEvent.run_id) == self.id, col(RunEvent.kind).in_(("text", "reasoning")))
                .group_by(col(RunEvent.part))
            )
            return {part: str(count) for part, count in rows}


async def append(session: AsyncSession, run: Run, entries: Sequence[Entry], **columns: Any) -> None:
    """As `Recorder.write`, in a transaction of the caller's that holds the run's lock; its last act."""
    fresh = await _fresh(session, run, entries)
    if "progress" in columns:
        columns["progress"] = max(run.progress, columns["progress"])
    if "message" in columns:
        columns["message"] = _line(columns["message"])
    for entry in fresh:
        for column, amount in entry.add.items():
            columns[column] = columns.get(column, getattr(run, column)) + amount
    first = run.last_seq + 1
    for column, value in {**columns, "last_seq": run.last_seq + len(fresh)}.items():
        setattr(run, column, value)
    await session.flush()
    if fresh:
        rows = [_row(run, seq, entry) for seq, entry in enumerate(fresh, start=first)]
        await session.execute(insert(RunEvent), rows)


async def _fresh(session: AsyncSession, run: Run, entries: Sequence[Entry]) -> list[Entry]:
    """The entries that are not written yet, each once, in their order."""
    if not entries:
        return []
    named = {(entry.part, entry.state): entry for entry in entries}
    rows = await session.execute(
        select(col(RunEvent.part), col(RunEvent.state)).where(
            col(RunEvent.run_id) == run.id,
            tuple_(col(RunEvent.part), col(RunEvent.state)).in_(list(named)),
        )
    )
    for part, state in rows:
        named.pop((part, state))
    return list(named.values())


def _line(text: str) -> str:
    """One short line for a card."""
    line = " ".join(storable(text).split())
    return line if len(line) <= MESSAGE_CHARS else line[: MESSAGE_CHARS - 1] + "…"


def storable(text: str) -> str:
    """What PostgreSQL can keep. A stand-in for each NUL and lone surrogate keeps the count of characters."""
    return _UNSTORABLE.sub(lambda match: "\N{SYMBOL FOR NULL}" if match[0] == "\0" else "\ufffd", text)


def _name(text: str) -> str:
    """A part or state as the index can hold it: a very long one (a path, say) by its start and its hash."""
    text = storable(text)
    if len(text) <= NAME_CHARS:
        return text
    return f"{text[:NAME_CHARS]}#{hashlib.sha256(text.encode()).hexdigest()}"


def _row(run: Run, seq: int, entry: Entry) -> dict[str, Any]:
    return {
        "run_id": run.id,
        "seq": seq,
        "kind": entry.kind,
        "part": entry.part,
        "state": entry.state,
        "level": entry.level,
        "message": storable(entry.message),
        "details": _details(entry, run),
    }


def _details(entry: Entry, run: Run) -> dict[str, Any] | None:
    if entry.kind == "status":
        return {"status": run.status, "progress": run.progress, **(entry.details or {})}
    return _clean(dict(entry.details)) if entry.details else None


def _clean(value: Any) -> Any:
    """JSONB refuses NUL as well, at any depth."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {storable(str(key)): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value
