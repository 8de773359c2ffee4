"""The floor of the news: python-socketio by itself, a room, and the bytes that the product sent.

`python -m benchmarks.bare_room PORT RATE COUNT`. The first message of a client is the text to broadcast;
from then on it goes out RATE times a second, numbered, and `/sent` tells when each was (Unix times).
"""

import asyncio
import json
import sys
import time
from typing import Any

import socketio
import uvicorn

PLACE = "news 000000"
"""What the number replaces in the text."""


class Room(socketio.AsyncNamespace):
    def __init__(self, rate: float, count: int) -> None:
        super().__init__("/_event")
        self.rate, self.count = rate, count
        self.sent: list[float] = []
        self._ticking: asyncio.Task[None] | None = None

    async def on_connect(self, sid: str, environ: Any, auth: Any = None) -> None:
        await self.enter_room(sid, "room")

    async def on_text(self, sid: str, text: str) -> None:
        if self._ticking is None:
            self._ticking = asyncio.create_task(self._tick(text))

    async def _tick(self, text: str) -> None:
        began = time.monotonic() + 0.5 / self.rate  # between two of the product's
        for number in range(self.count):
            payload = json.loads(text.replace(PLACE, f"bare {number:06}"))
            await asyncio.sleep(began + number / self.rate - time.monotonic())
            self.sent.append(time.time())
            await self.emit("event", payload, room="room")


def main(port: int, rate: float, count: int) -> None:
    room = Room(rate, count)
    server = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins="*")
    server.register_namespace(room)

    async def sent(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(room.sent).encode()})

    app = socketio.ASGIApp(server, sent, socketio_path="_event")
    uvicorn.run(app, port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
