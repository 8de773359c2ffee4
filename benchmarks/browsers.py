"""Fifty browsers, as far as the wire is concerned: raw Socket.IO over websockets, in one process.

`python -m benchmarks.browsers OUT PRODUCT BARE PATH COOKIE CLIENTS` connects each client to the product,
as Reflex's own page does, and to the bare room; says `ready`; and writes to OUT what came, once its
standard input is closed: a list of (client, Unix time, bytes, text) per server.
"""

import asyncio
import json
import sys
import time
import uuid
from pathlib import Path

import aiohttp

from benchmarks.bare_room import PLACE

HYDRATE = "reflex___state____state.hydrate_and_load"
Frame = tuple[int, float, int, str]


class Wire:
    """One client's connection to one server."""

    def __init__(self, client: int, frames: list[Frame]) -> None:
        self._client = client
        self._frames = frames
        self.text = asyncio.Queue[str]()
        """What came before `listen` was told to keep it."""
        self.keeping = False

    async def connect(self, http: aiohttp.ClientSession, server: str, auth: object, **headers: str) -> None:
        url = f"{server}/_event/?EIO=4&transport=websocket&token={uuid.uuid4()}"
        self._socket = await http.ws_connect(url, headers=headers, max_msg_size=0)
        await self._socket.receive()
        await self.send("40/_event," + (json.dumps(auth) if auth else ""))
        self._listening = asyncio.create_task(self._listen())

    async def send(self, text: str) -> None:
        await self._socket.send_str(text)

    async def _listen(self) -> None:
        async for message in self._socket:
            now, text = time.time(), str(message.data)
            if text == "2":
                await self.send("3")
            elif self.keeping:
                self._frames.append((self._client, now, len(text.encode()), text))
            else:
                self.text.put_nowait(text)

    async def until(self, part: str) -> str:
        """Wait for a frame that holds `part`."""
        async with asyncio.timeout(120):
            while part not in (text := await self.text.get()):
                pass
        return text


async def main(out: Path, product: str, bare: str, path: str, cookie: str, clients: int) -> None:
    ours: list[Frame] = []
    floor: list[Frame] = []
    router = {"pathname": path, "asPath": path}
    auth = {"event": {"name": HYDRATE, "payload": {}, "router_data": router}}
    async with aiohttp.ClientSession() as http:
        wires = []
        for client in range(clients):
            page, room = Wire(client, ours), Wire(client, floor)
            await page.connect(http, product, auth, Cookie=cookie, Origin=product)
            await page.until(f'"project_id_rx_state_":"{path.split("/")[2]}"')
            await room.connect(http, bare, None)
            wires.append((page, room))
        say("ready")
        template = await wires[0][0].until(PLACE)
        payload = json.dumps(json.loads(template[template.index("[") :])[1], separators=(",", ":"))
        for page, room in wires:
            page.keeping = room.keeping = True
        await wires[0][1].send("42/_event," + json.dumps(["text", payload]))
        await asyncio.to_thread(sys.stdin.read)
    await asyncio.to_thread(out.write_text, json.dumps({"ours": ours, "bare": floor}))


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    place, product, bare, path, cookie, clients = sys.argv[1:]
    asyncio.run(main(Path(place), product, bare, path, cookie, int(clients)))
