"""Database news to the browsers that should see it.

One reader per web process. What everybody in a project's room sees is the same, so an update is made
once and emitted to the room as an ordinary state delta. Each value travels under a key of its own
(see assets/ui/store.js), one frame each, so a frame stays under 1 KB whatever the board's size, and
two updates never overwrite each other in a browser.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

import reflex as rx
from reflex.state import StateUpdate
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear import db, metrics
from openlinear.components.cards import progress_of
from openlinear.engine_client import engine_client
from openlinear.livecards import batches_of, cards_of, entry_of
from openlinear.newsreader import NewsReader, news_reader
from openlinear.services import access, accounts, inbox
from openlinear.services.feed import News
from openlinear.services.views import Actor
from openlinear.vitals import Vitals, monitor

log = logging.getLogger(__name__)

BEAT = 0.03
"""Seconds between two sendings of a project's updates; what happens meanwhile goes with the next."""
FEW = 40
"""As many lines of progress are all sent at one beat; of more, the latest of each task alone."""
ROWS_EVERY = 1.0
"""How often the progress of running tasks is read from their rows, in seconds."""
FRAME = 900
"""A log line over this many bytes is announced, and fetched by who reads it."""
LOGINS_EVERY = 30.0
"""How often the logins of open pages are checked, in seconds."""
AGAIN = 1.0
"""Seconds until live updates begin anew after an error."""
RING = 64
"""Log lines reuse this many keys; a browser that missed some asks for them."""
EVERYBODY = "everybody"

Read = Callable[[AsyncSession, Actor, UUID, dict[UUID, News]], Awaitable[dict[str, Any]]]
"""What a room is sent of what changed, by its keys, as this actor may see it."""


class LiveState(rx.State):
    """What changes by itself. It has no vars here: its keys come from `Hub`, and from the page itself."""


class LogState(rx.State):
    """The lines of the open task's run, as they happen; keys of `Hub` as well."""


@dataclass(frozen=True, slots=True)
class Seat:
    """One connection: who looks, and at what."""

    actor: Actor
    project_id: UUID
    task_id: UUID | None


@dataclass(slots=True)
class Pending:
    """What a project's room will be sent at the next beat."""

    progress: list[News] = field(default_factory=list)
    changed: dict[UUID, News] = field(default_factory=dict)
    lines: list[News] = field(default_factory=list)
    batches: dict[UUID, News] = field(default_factory=dict)
    rows: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    """What was last sent from the row of each running task."""
    rows_read: float = 0.0
    due: asyncio.Task[None] | None = None
    sent: float = 0.0


class Hub:
    """Who looks at which project in this process, and the way to them."""

    def __init__(self) -> None:
        self._app: rx.App | None = None
        self._seats: dict[str, Seat] = {}
        self._people: dict[str, Actor] = {}
        """Whose each connection is, wherever they look."""
        self._pending: dict[UUID, Pending] = {}

    # -- joining --------------------------------------------------------------------------------

    async def join(self, sid: str, actor: Actor, project_id: UUID, task_id: UUID | None) -> None:
        """Seat a connection, whose permission the caller has checked, and give up its former seat."""
        await self.leave(sid)
        try:
            for room in filter(None, (project_id, task_id)):
                await self._namespace.enter_room(sid, _room(room))
        except (KeyError, ValueError):  # the connection ended meanwhile: a seat would never be given up
            return
        self._seats[sid] = Seat(actor, project_id, task_id)

    async def leave(self, sid: str) -> None:
        seat = self._seats.pop(sid, None)
        if seat is None:
            return
        for room in filter(None, (seat.project_id, seat.task_id)):
            with contextlib.suppress(ValueError):  # the connection is gone, and left its rooms with that
                await self._namespace.leave_room(sid, _room(room))

    async def put_back(self, sid: str, task_id: str) -> None:
        """A move was refused: the page forgets that it showed the card as moved."""
        await self._send(sid, LiveState, {f"o:{task_id}": None})

    async def welcome(self, sid: str, actor: Actor) -> None:
        """A connection of who is signed in: it is told of the engine, the inbox, and when the login ends."""
        with contextlib.suppress(KeyError, ValueError):  # the connection ended meanwhile
            await self._namespace.enter_room(sid, EVERYBODY)
            self._people[sid] = actor

    async def tell(self, vitals: Vitals) -> None:
        await self._send(EVERYBODY, LiveState, {"vitals": asdict(vitals)})

    @property
    def _namespace(self) -> Any:
        if self._app is None or self._app.event_namespace is None:
            raise RuntimeError("The hub is not attached to a running app.")
        return self._app.event_namespace

    def attach(self, app: rx.App) -> None:
        """Work on this app's connections, and give up the seats of those that end."""
        self._app = app
        namespace = self._namespace
        passed_on = namespace.on_disconnect

        def ended(sid: str) -> Any:
            self._seats.pop(sid, None)
            self._people.pop(sid, None)
            return passed_on(sid)

        namespace.on_disconnect = ended

    # -- following ------------------------------------------------------------------------------

    async def follow(self, reader: NewsReader) -> None:
        """Pass on news until cancelled. Where some were missed, the pages read their boards again."""
        began = False
        while True:
            try:
                async with reader.subscribe() as batches:
                    for sid in list(self._seats) if began else ():
                        await self._send(sid, LiveState, {"behind": time.monotonic_ns()})
                    began = True
                    async for batch in batches:
                        for item in batch:
                            await self._take(item)
            except Exception:
                log.exception("Live updates broke off; they begin anew")
                await asyncio.sleep(AGAIN)

    async def _take(self, item: News) -> None:
        if item.kind == "session:ended":
            await self._end(item.data.get("sessionIds", ()))
        if item.kind == "team:left":
            await self._look_again(item.user_id)
        if item.kind in ("inbox:updated", "team:left"):
            await self._count_again(item)
        if item.project_id is None or (item.task_id is None and not item.kind.startswith("batch:")):
            return
        await self._admit(item.project_id, item.viewers)
        if not self._seats_at(item.project_id):
            self._pending.pop(item.project_id, None)
            return
        pending = self._pending.setdefault(item.project_id, Pending())
        _sort_in(pending, item)
        if pending.due is None or pending.due.done():
            pending.due = asyncio.create_task(self._beat(item.project_id, pending))

    def _seats_at(self, project_id: UUID) -> list[tuple[str, Seat]]:
        return [(sid, seat) for sid, seat in self._seats.items() if seat.project_id == project_id]

    async def _admit(self, project_id: UUID, viewers: frozenset[UUID]) -> None:
        """Nobody else keeps a seat at this project; their pages read it again, and find it gone."""
        for sid, seat in self._seats_at(project_id):
            if seat.actor.id not in viewers:
                await self.leave(sid)
                await self._send(sid, LiveState, {"behind": time.monotonic_ns()})

    async def _admit_as_of(self, session: AsyncSession, project_id: UUID) -> None:
        """The same, by what the database says now: for what was just read of it, and is about to be sent."""
        seen_by = await access.viewers(session, [project_id])
        await self._admit(project_id, seen_by.get(project_id, frozenset()))

    async def _look_again(self, user_id: UUID | None) -> None:
        """Somebody left a team: what they look at may be none of theirs now."""
        async with db.transaction() as session:
            for project_id in {s.project_id for s in self._seats.values() if s.actor.id == user_id}:
                await self._admit_as_of(session, project_id)

    async def _count_again(self, item: News) -> None:
        """Something came into somebody's inbox, was read, or is none of theirs now."""
        theirs = {sid: actor for sid, actor in self._people.items() if actor.id == item.user_id}
        if theirs:
            async with db.transaction() as session:
                unread = await inbox.unread(session, next(iter(theirs.values())))
            for sid in theirs:
                await self._send(sid, LiveState, {"inbox": {"n": item.id, "unread": unread}})

    async def _end(self, logins: Collection[str]) -> None:
        """Logins are over: their connections leave, and their pages go to sign in."""
        everywhere = {sid: seat.actor for sid, seat in self._seats.items()} | self._people
        for sid, actor in everywhere.items():
            if str(actor.session_id) in logins:
                await self.leave(sid)
                if self._people.pop(sid, None):
                    with contextlib.suppress(ValueError):  # as in `leave`
                        await self._namespace.leave_room(sid, EVERYBODY)
                await self._send(sid, LiveState, {"ended": True})

    async def watch_logins(self) -> None:
        """End the seats of logins that ran out, until cancelled: time makes no news."""
        while True:
            await asyncio.sleep(LOGINS_EVERY)
            logins = {actor.session_id for actor in self._people.values()}
            logins |= {seat.actor.session_id for seat in self._seats.values()}
            try:
                async with db.transaction() as session:
                    over = await accounts.over(session, logins) if logins else ()
                await self._end({str(login) for login in over})
            except Exception:
                log.exception("The logins of open pages could not be checked")

    # -- sending --------------------------------------------------------------------------------

    async def _beat(self, project_id: UUID, pending: Pending) -> None:
        while pending.progress or pending.changed or pending.lines or pending.batches:
            # More may come while some are sent.
            await asyncio.sleep(max(0.0, pending.sent + BEAT - time.monotonic()))
            pending.sent = time.monotonic()
            changed, pending.changed = pending.changed, {}
            progress, pending.progress = pending.progress, []
            lines, pending.lines = pending.lines, []
            moved, pending.batches = pending.batches, {}
            news = {item.id: item for item in (*changed.values(), *progress, *lines, *moved.values())}
            try:
                await self._send_lines(lines)
                await self._send_progress(project_id, pending, progress)
                await self._send_read(project_id, changed, cards_of)
                await self._send_read(project_id, moved, batches_of)
                metrics.handed_on("board", news.values())
            except Exception:
                log.exception("News of a project could not be passed on")

    async def _send_lines(self, lines: Iterable[News]) -> None:
        open_tasks = {seat.task_id for seat in self._seats.values()}
        for item in lines:
            if item.event is None or item.task_id is None or item.task_id not in open_tasks:
                continue
            line = entry_of(item.event.run_id, item.event)
            if len(json.dumps(line, ensure_ascii=False).encode()) > FRAME:
                line = {"run": line["run"], "seq": line["seq"], "cut": True}
            keys = {f"e:{item.event.seq % RING}": line, f"newest:{item.event.run_id}": item.event.seq}
            await self._send(_room(item.task_id), LogState, keys)

    async def _send_progress(self, project_id: UUID, pending: Pending, progress: list[News]) -> None:
        """The lines of running tasks, at once; every second what else their runs' rows say, too."""
        latest = {item.task_id: item for item in progress if item.task_id is not None}
        for item in progress if len(progress) <= FEW else latest.values():
            line = _line_of(item)
            if line is not None and item.event is not None and item.task_id is not None:
                value = {"run": str(item.event.run_id), "line": line}
                known = pending.rows.get(item.task_id, value)
                if known["run"] == value["run"]:
                    value["line"] = {**known["line"], **line}
                await self._send_progress_of(project_id, item.task_id, item.id, value)
        if latest and time.monotonic() - pending.rows_read > ROWS_EVERY:
            pending.rows_read = time.monotonic()
            async with db.transaction() as session:
                rows = await engine_client().latest(session, latest)
                await self._admit_as_of(session, project_id)
            for task_id, run in rows.items():
                value = progress_of(str(run.id), run.status, run.progress, run.message)
                pending.rows[task_id] = value
                await self._send_progress_of(project_id, task_id, latest[task_id].id, value)

    async def _send_progress_of(
        self, project_id: UUID, task_id: UUID, number: int, value: dict[str, Any]
    ) -> None:
        await self._send(_room(project_id), LiveState, {f"p:{task_id}": {"n": number, **value}})

    async def _send_read(self, project_id: UUID, changed: dict[UUID, News], read: Read) -> None:
        """Read in the name of somebody who is seated. Whoever may not see it by then is not sent it."""
        while changed and (seats := self._seats_at(project_id)):
            sid, seat = seats[0]
            async with db.transaction() as session:
                values = await read(session, seat.actor, project_id, changed)
                await self._admit_as_of(session, project_id)
            if self._seats.get(sid) is not seat:
                continue  # the reader may have been the one who lost sight of it
            for key, value in values.items():
                await self._send(_room(project_id), LiveState, {key: value})
            return

    async def _send(self, room: str, state: type[rx.State], values: dict[str, Any]) -> None:
        delta = {state.get_full_name(): values}
        await self._namespace.emit("event", StateUpdate(delta=delta), room=room)


hub = Hub()


@contextlib.asynccontextmanager
async def live(app: rx.App) -> AsyncIterator[None]:
    """Follow the news while the app serves."""
    hub.attach(app)
    monitor.tell = hub.tell
    works = (hub.follow(news_reader()), hub.watch_logins(), monitor.watch())
    at_work = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in at_work:
            task.cancel()
        await asyncio.gather(*at_work, return_exceptions=True)


def _room(ident: UUID) -> str:
    return f"room:{ident}"


def _sort_in(pending: Pending, item: News) -> None:
    """A later state of a card replaces an earlier one; lines are all kept."""
    if item.kind.startswith("batch:"):
        pending.batches[UUID(item.data["batchId"])] = item
        return
    task_id = item.task_id
    if task_id is None:
        return
    if item.event is not None:
        pending.lines.append(item)
    if _changes_card(item):
        pending.changed[task_id] = item
        pending.progress = [other for other in pending.progress if other.task_id != task_id]
        pending.rows.pop(task_id, None)
    elif _line_of(item) is not None:
        pending.progress.append(item)


_ON_THE_CARD = ("attempt:", "clashes:", "handed_in:", "sent_back")


def _changes_card(item: News) -> bool:
    """Whether more than the line of a running task is different now."""
    if item.kind.startswith("task:") or item.kind == "execution:completed":
        return True
    event = item.event
    return event is not None and (event.kind in ("ask", "answered") or event.part.startswith(_ON_THE_CARD))


def _line_of(item: News) -> dict[str, Any] | None:
    """What the card says now, where this event tells it."""
    event = item.event
    if event is None:
        return None
    if item.kind == "execution:progress":
        data = item.data
        value = progress_of(str(event.run_id), data["status"], data["progress"], data.get("message") or "")
        return dict(value["line"])
    if (event.kind == "tool" and event.state == "running") or event.kind == "retry":
        return {"message": progress_of("", "executing", 0, event.message)["line"]["message"]}
    return None
