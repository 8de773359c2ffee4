"""Our pages' event handlers, called through Reflex itself: its websocket namespace without the socket."""

import asyncio
import inspect
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
import reflex as rx
from reflex.utils.format import json_dumps
from reflex_base.registry import RegisteredEventHandler, RegistrationContext

from openlinear.components.notice import NoticeState
from openlinear.live import hub
from openlinear.openlinear import app
from openlinear.services.errors import ServiceError
from openlinear.services.logins import COOKIE

ORIGIN = "http://board.test"
_TIMES = re.compile(r"\b\d{13,}\b")
REGISTRY = RegistrationContext.get()


def handlers() -> dict[str, tuple[str, RegisteredEventHandler]]:
    """Every event that a browser can send, as `State.handler`: its full name, and what it calls."""
    found = {}
    for full_name, registered in REGISTRY.event_handlers.items():
        (state,) = registered.states
        found[f"{state.__name__}.{full_name.rpartition('.')[2]}"] = (full_name, registered)
    return found


class Pages:
    """Connections that come and go. `sent` is what went out, with the connections that it went to."""

    def __init__(self) -> None:
        self.sent: list[tuple[frozenset[str], str]] = []
        self.rooms: dict[str, set[str]] = {}
        self.errors: list[Exception] = []

    async def connect(self, token: str, tab: str = "") -> str:
        """Somebody's browser connects, with a new tab unless it names one; the connection."""
        sid = uuid4().hex
        headers = [(b"cookie", f"{COOKIE}={token}".encode())] if token else []
        scope = {"headers": headers, "client": ("127.0.0.1", 1)}
        self.rooms[sid] = {sid}
        await app.event_namespace.on_connect(
            sid, {"QUERY_STRING": f"token={tab or sid}", "asgi.scope": scope}
        )
        return sid

    async def holds(self, sid: str, state: type[rx.State], values: Mapping[str, Any]) -> None:
        """Let a state hold this, as from an event before."""
        root = app.state_manager.states[sid]
        substate = await root.get_state(state)
        for name, value in values.items():
            setattr(substate, name, value)
        root._clean()

    async def event(self, sid: str, name: str, payload: Mapping[str, Any], at: str) -> None:
        """An event from the page at this address, until all that it led to is over."""
        router = {"pathname": at, "asPath": ORIGIN + at, "query": {}}
        await app.event_namespace.on_event(
            sid, {"name": name, "payload": dict(payload), "router_data": router}
        )
        processor = app.event_processor
        await processor.join()
        while processor._tasks:
            await asyncio.wait(list(processor._tasks.values()))
            await asyncio.sleep(0)
            await processor.join()

    async def leave(self, sid: str, *, forgotten: bool = True) -> None:
        """The connection ends. What its tab held is kept for a while, unless it is to be forgotten."""
        await (app.event_namespace.on_disconnect(sid) or asyncio.sleep(0))
        del self.rooms[sid]
        self.sent = [(there, text) for there, text in self.sent if there & self.rooms.keys()]
        if forgotten:
            app.state_manager.states.pop(sid, None)

    async def values(self, tab: str) -> dict[str, str]:
        """All variables of a tab's states, the server's own included, save what Reflex says of itself and
        the message about what went wrong last.
        """
        root = app.state_manager.states[tab]
        found = {}
        for full_name, state in REGISTRY.base_states.items():
            substate = await root.get_state(state)
            own = [name for name, field in state.__fields__.items() if field._owner is state]
            for name in own if state not in (rx.State, NoticeState) else ():
                found[f"{full_name}.{name}"] = repr(getattr(substate, name))
        return found

    def told(self, sid: str) -> str:
        """All that this connection was sent so far."""
        return "\n".join(text for receivers, text in self.sent if sid in receivers)

    def status(self) -> str:
        """How the events since the last time ended, in the API's words."""
        errors, self.errors = self.errors, []
        found = {str(e.status) if isinstance(e, ServiceError) else f"500 {e!r}" for e in errors}
        return " ".join(sorted(found)) or "200"

    # -- what Reflex calls

    async def emit(self, event: str, data: Any, to: str = "", room: str = "") -> None:
        there = frozenset(sid for sid, rooms in self.rooms.items() if (to or room) in rooms)
        # In one order, and as of no time: two answers are compared.
        text = json.dumps(json.loads(json_dumps(data)), sort_keys=True)
        self.sent.append((there, f"{event} {_TIMES.sub('TIME', text)}"))

    async def enter_room(self, sid: str, room: str) -> None:
        self.rooms[sid].add(room)

    async def leave_room(self, sid: str, room: str) -> None:
        self.rooms[sid].discard(room)


@asynccontextmanager
async def pages(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pages]:
    """The app at work in this process, its hub included."""
    site = Pages()
    explain = app.backend_exception_handler

    def noted(error: Exception) -> Any:
        site.errors.append(error)
        return explain(error)

    monkeypatch.setattr(app, "backend_exception_handler", noted)
    namespace = app.event_namespace
    for name in ("emit", "enter_room", "leave_room"):
        monkeypatch.setattr(namespace, name, getattr(site, name))
    # The hub puts itself before it; afterwards it is as it was.
    monkeypatch.setattr(namespace, "on_disconnect", namespace.on_disconnect)
    monkeypatch.setattr(hub, "_app", None)
    with app.set_contexts():
        async with app._setup_event_processor():
            hub.attach(app)
            yield site


def payload_of(registered: RegisteredEventHandler, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by their names. AssertionError for one that the handler does not take, or lacks."""
    wanted = list(inspect.signature(registered.handler.fn).parameters)[1:]
    assert set(given) == set(wanted), f"it takes {wanted}"
    return dict(given)
