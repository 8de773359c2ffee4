"""Connections that only write down what they are told."""

from typing import Any

from socketio import AsyncNamespace


class Namespace(AsyncNamespace):
    """Reflex's event namespace, as far as the hub uses it."""

    def __init__(self) -> None:
        super().__init__("/_event")
        self.rooms: dict[str, set[str]] = {}
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self.gone: list[str] = []

    async def enter_room(self, sid: str, room: str) -> None:
        if sid in self.gone:
            raise KeyError(sid)
        self.rooms.setdefault(sid, set()).add(room)

    async def leave_room(self, sid: str, room: str) -> None:
        self.rooms[sid].discard(room)

    async def emit(self, name: str, update: Any, room: str) -> None:
        assert name == "event"
        assert room not in self.gone
        self.sent.append((room, update.delta))

    def on_disconnect(self, sid: str) -> None:
        self.gone.append(sid)
        self.rooms.pop(sid, None)

    def values(self, state: str) -> list[dict[str, Any]]:
        return [delta[state] for _, delta in self.sent if state in delta]
