"""The proxy and the relay as the processes that they are in containers, between real clients and a server."""

import asyncio
import hashlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from engine.ports import Egress, EgressMode
from engine.public import is_private
from engine.sandbox import egress_proxy, egress_rules, egress_way
from engine.sandbox.egress import _program
from engine.settings import EngineSettings
from tests.support.needs import require
from tests.support.opencodeserver import free_port

LARGE = bytes(range(256)) * (32 << 10)


@dataclass
class Way:
    """One user's way out: `port` of the relay, `server` the address and port of what is allowed."""

    folder: Path
    port: int
    server: tuple[str, int]

    def choose(self, mode: EgressMode, *hosts: str) -> None:
        settings = EngineSettings(egress_hosts=hosts)
        policy = self.folder / "policies" / "user.json"
        fresh = policy.with_name(".fresh")
        fresh.write_text(json.dumps(egress_rules.policy(Egress(mode), settings)))
        fresh.replace(policy)

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(proxy=f"http://127.0.0.1:{self.port}", timeout=10)

    def url(self, path: str) -> str:
        return f"http://{self.server[0]}:{self.server[1]}{path}"


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[tuple[str, int]]:
    """Answers with the digest of what it was sent, or with what is large."""
    found = [ip for ip in egress_rules.own_addresses() if "." in ip and is_private(ip)]
    require(bool(found), "A private network address of this machine", "start Docker, whose bridge has one")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next(
                (line for line in head.lower().split("\r\n") if line.startswith("content-length:")), "0"
            )
            body = await reader.readexactly(int(length.rpartition(":")[2]))
            said = LARGE if head.startswith("GET /large") else hashlib.sha256(body).hexdigest().encode()
            writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + said)  # ends with the connection
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, found[0], 0)
    async with listening:
        yield found[0], listening.sockets[0].getsockname()[1]


@pytest.fixture
def way(tmp_path: Path, server: tuple[str, int]) -> Iterator[Way]:
    folders = [tmp_path / "policies", tmp_path / "sockets"]
    for folder in (*folders, folders[1] / "user"):
        folder.mkdir()
    made = Way(tmp_path, free_port(), server)
    made.choose("listed", f"{server[0]}:{server[1]}")
    relay = egress_way.relay_command()[:-2]
    commands = [
        ["-I", "-c", _program(), *map(str, folders)],
        [*relay[1:], str(made.port), str(folders[1] / "user" / "proxy.sock")],
    ]
    running = [subprocess.Popen([sys.executable, *command]) for command in commands]
    try:
        yield made
    finally:
        for process in running:
            process.kill()
            process.wait()


async def first(way: Way) -> httpx.Response:
    """The first answer: the relay listens a moment after it was started."""
    async with way.client() as client, asyncio.timeout(20):
        while True:
            try:
                return await client.post(way.url("/"), content=b"hello")
            except httpx.ConnectError:
                await asyncio.sleep(0.05)


async def test_large_and_many_at_once_come_through_whole(way: Way) -> None:
    assert (await first(way)).text == hashlib.sha256(b"hello").hexdigest()
    async with way.client() as client:
        answers = await asyncio.gather(
            *(client.get(way.url("/large")) for _ in range(10)),
            *(client.post(way.url("/"), content=LARGE) for _ in range(10)),
        )
    assert {answer.content for answer in answers} == {LARGE, hashlib.sha256(LARGE).hexdigest().encode()}


async def test_a_tunnel_passes_bytes_both_ways_to_their_end(way: Way) -> None:
    await first(way)
    reader, writer = await asyncio.open_connection("127.0.0.1", way.port)
    writer.write(f"CONNECT {way.server[0]}:{way.server[1]} HTTP/1.1\r\n\r\n".encode())
    assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
    writer.write(b"GET /large HTTP/1.0\r\n\r\n")
    writer.write_eof()
    assert (await reader.read()).endswith(LARGE)
    writer.close()


async def test_the_policy_is_read_for_each_connection_and_refusals_are_noted(way: Way) -> None:
    await first(way)
    noted = way.folder / "sockets" / "user" / "refused.json"
    async with way.client() as client:
        way.choose("none")
        refused = await client.get(way.url("/large"))
        assert (refused.status_code, "Settings, Network" in refused.text) == (403, True)
        with pytest.raises(httpx.ProxyError, match="not among the hosts"):
            await client.get("https://example.com/")
        way.choose("listed", f"{way.server[0]}:{way.server[1]}")
        assert (await client.get(way.url("/large"))).status_code == 200
    async with asyncio.timeout(10):
        while set(egress_rules.refused(noted)) != {f"{way.server[0]}:{way.server[1]}", "example.com"}:
            await asyncio.sleep(0.05)


async def tunnel(way: Way) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """An open one, on which nothing was said yet."""
    reader, writer = await asyncio.open_connection("127.0.0.1", way.port)
    writer.write(f"CONNECT {way.server[0]}:{way.server[1]} HTTP/1.1\r\n\r\n".encode())
    assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def test_a_changed_policy_cuts_what_is_open_and_now_refused_alone(way: Way) -> None:
    await first(way)
    host = f"{way.server[0]}:{way.server[1]}"
    reader, writer = await tunnel(way)
    way.choose("listed", host, "other.example")
    await asyncio.sleep(3 * egress_proxy.LOOK_SECONDS)
    writer.write(b"GET /large HTTP/1.0\r\n\r\n")
    assert (await reader.read()).endswith(LARGE)
    writer.close()
    reader, writer = await tunnel(way)
    way.choose("none")
    async with asyncio.timeout(10):
        assert await cut(reader)
    writer.close()


async def cut(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


async def test_a_connection_that_says_too_much_or_nothing_is_ended(way: Way) -> None:
    await first(way)
    for said, answer in ((b"GET /" + b"a" * 20_000, b" 431 "), (b"nonsense\r\n\r\n", b" 400 ")):
        reader, writer = await asyncio.open_connection("127.0.0.1", way.port)
        writer.write(said)
        assert answer in await reader.readline()
        writer.close()


async def test_a_user_who_is_gone_has_no_way_out_and_others_keep_theirs(way: Way) -> None:
    await first(way)
    reader, writer = await tunnel(way)
    (way.folder / "policies" / "user.json").unlink()
    async with asyncio.timeout(10):
        assert await cut(reader)
    writer.close()
    async with way.client() as client, asyncio.timeout(20):
        while True:
            try:
                await client.get(way.url("/large"))
            except (httpx.RemoteProtocolError, httpx.ReadError):
                break
            await asyncio.sleep(0.1)
