"""The way out of the workers' containers: forwards what each user's policy allows, and nothing else.

    python3 -I -c THIS POLICIES SOCKETS

Where there is POLICIES/<user>.json, it listens on SOCKETS/<user>/proxy.sock, which that user's containers
alone have. So a connection's user is told by the socket it came through: nothing that an agent could say
counts. The policy is read for each connection, and what is open is judged anew when it changes. Names are
resolved here, and the address that is connected to is the one that was judged. What was refused is left in
SOCKETS/<user>/refused.json for the engine to tell; nothing else is noted. Without dependencies.
"""

import asyncio
import contextlib
import functools
import ipaddress
import json
import os
import re
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from engine.public import is_private, is_public

HEAD = 16 << 10
HEAD_SECONDS = 15.0
CONNECT_SECONDS = 10.0
SILENT_SECONDS = 900.0
"""A connection on which nothing moves for so long is over. Models think for minutes."""
MOST_CONNECTIONS = 128
LOOKUPS = 4
"""Names of one user that are looked up at once: slow ones make nobody else wait."""
MOST_REFUSED = 50
LOOK_SECONDS = 0.2
WEB_PORTS = (80, 443)
HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?")
DROPPED = ("proxy-", "connection:", "keep-alive:", "host:")

Rule = dict[str, Any]
"""{host, ports, private}: `*.example.com` is every name below; `private` lets it be in a private network."""


class Refused(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def rule_for(policy: dict[str, Any], host: str, port: int) -> Rule:
    """What lets this user reach this host. Refused where nothing does."""
    for rule in policy["rules"]:
        name = rule["host"]
        same = host.endswith(name[1:]) if name.startswith("*.") else host == name
        if same and port in rule["ports"]:
            return dict(rule)
    if policy["mode"] == "open" and port in WEB_PORTS:
        return {"private": False}
    where = host if port in WEB_PORTS else f"{host}:{port}"
    raise Refused(403, f"{where} is not among the hosts that your network settings let agents reach")


def judge(host: str, ips: list[str], rule: Rule, own: list[str]) -> None:
    """Refuse a name of which one address may not be reached. `own` are those of the machine this runs on."""
    if not all((is_public(ip) and ip not in own) or (rule["private"] and is_private(ip)) for ip in ips):
        raise Refused(403, f"{host} is an address of this machine or of a private network")


def target_of(authority: str, default: int | None) -> tuple[str, int]:
    """Host and port, lower case and without brackets. Refused where it is neither."""
    try:
        parts = urlsplit(f"//{authority}")
        host, port = (parts.hostname or "").rstrip("."), parts.port or default
    except ValueError:
        host, port = "", None
    if not (authority.isascii() and authority.isprintable()):  # parsing would drop a tab
        host = ""
    if port is None or parts.username is not None or not (HOST.fullmatch(host) or is_ip(host)):
        raise Refused(400, "the request names no host and port")
    return host, port


def is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host


def asked(head: bytes) -> tuple[str, int, bytes]:
    """Host, port, and what is passed on to it: nothing for CONNECT, else the request as origins read it."""
    try:
        first, *headers = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        method, target, version = first.split(" ")
    except ValueError:
        raise Refused(400, "this is no request to a proxy") from None
    if method == "CONNECT":
        return *target_of(target, None), b""
    scheme, _, rest = target.partition("://")
    if scheme.lower() != "http":
        raise Refused(400, "this is a proxy: name the whole address, or use CONNECT")
    authority, slash, path = rest.partition("/")
    host, port = target_of(authority, 80)
    kept = [line for line in headers if not line.lower().startswith(DROPPED)]
    lines = [f"{method} /{path if slash else ''} {version}", f"Host: {authority}", *kept, "Connection: close"]
    return host, port, ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


@dataclass(frozen=True, eq=False)
class Open:
    """A connection that is let through, and both its ends."""

    host: str
    port: int
    ips: list[str]
    ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter]

    def cut(self) -> None:
        for end in self.ends:
            end.transport.abort()


class User:
    """One user's way out."""

    def __init__(self, policy: Path, folder: Path) -> None:
        self.policy = policy
        self.folder = folder
        self.count = 0
        self.open: set[Open] = set()
        self.seen = self.version()
        self.refused: dict[str, float] = {}
        self.told = True
        self.lookups = ThreadPoolExecutor(LOOKUPS)

    async def listen(self) -> asyncio.Server:
        return await asyncio.start_unix_server(self.serve, self.folder / "proxy.sock", limit=HEAD)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.count += 1
        try:
            await self.forward(reader, writer)
        except Refused as error:
            await self.refuse(writer, error)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            pass  # one of the two has gone
        finally:
            self.count -= 1
            writer.transport.abort()

    async def forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.count > MOST_CONNECTIONS:
            raise Refused(503, "too many connections at once")
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            raise Refused(431, "the request's head is too long") from None
        host, port, request = asked(head)
        self.permit(host, port, [])  # the name itself could carry something out
        ips = await self.addresses(host, port)
        self.permit(host, port, ips)
        upstream, onward = await connected(host, port, ips)
        opened = Open(host, port, ips, (writer, onward))
        self.open.add(opened)
        try:
            self.permit(host, port, ips)  # as it is now: from here on a change finds it among the open ones
            onward.write(request)
            if not request:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await tunnel(reader, writer, upstream, onward)
            await flushed(onward)
            await flushed(writer)
        finally:
            self.open.discard(opened)
            onward.transport.abort()

    def permit(self, host: str, port: int, ips: list[str]) -> None:
        """Refused, and noted, where the policy as it is now does not let this user reach that."""
        policy = json.loads(self.policy.read_bytes())
        try:
            judge(host, ips, rule_for(policy, host, port), policy["own"])
        except Refused:
            self.note(host, port)
            raise

    def version(self) -> tuple[int, int]:
        found = self.policy.stat()
        return found.st_mtime_ns, found.st_ino

    def keep_to_policy(self) -> None:
        """Cut what a policy that has changed no longer allows."""
        if (version := self.version()) == self.seen:
            return
        for opened in list(self.open):
            try:
                self.permit(opened.host, opened.port, opened.ips)
            except Refused:
                opened.cut()
        self.seen = version

    def cut(self) -> None:
        for opened in list(self.open):
            opened.cut()

    async def addresses(self, host: str, port: int) -> list[str]:
        look = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                found = await asyncio.get_running_loop().run_in_executor(self.lookups, look)
        except (OSError, UnicodeError, TimeoutError):
            raise Refused(502, f"cannot connect to {host}: the name does not resolve") from None
        return list(dict.fromkeys(str(info[4][0]) for info in found))

    async def refuse(self, writer: asyncio.StreamWriter, error: Refused) -> None:
        """The reason stands in the status line too: programs show no more of a failed CONNECT."""
        body = f"OpenLinear: {error}. What agents reach is chosen under Settings, Network.\n"
        head = (
            f"HTTP/1.1 {error.status} {error}",
            "Content-Type: text/plain",
            f"Content-Length: {len(body)}",
            "Connection: close",
        )
        with contextlib.suppress(OSError, TimeoutError):
            writer.write(("\r\n".join(head) + "\r\n\r\n" + body).encode())
            writer.write_eof()
            async with asyncio.timeout(CONNECT_SECONDS):
                await writer.drain()

    def note(self, host: str, port: int) -> None:
        """The last ones stay. An agent that makes up names pushes out its own."""
        where = host if port in WEB_PORTS else f"{host}:{port}"
        self.refused.pop(where, None)
        self.refused[where] = time.time()
        while len(self.refused) > MOST_REFUSED:
            del self.refused[next(iter(self.refused))]
        self.told = False

    def tell(self) -> None:
        if not self.told:
            partial = self.folder / "refused.new"
            partial.write_text(json.dumps(self.refused))
            partial.replace(self.folder / "refused.json")
            self.told = True


async def connected(
    host: str, port: int, ips: list[str]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    for ip in ips:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(CONNECT_SECONDS):
                return await asyncio.open_connection(ip, port)
    raise Refused(502, f"cannot connect to {host}")


async def flushed(writer: asyncio.StreamWriter) -> None:
    """Closed, once what was written is taken."""
    writer.close()
    async with asyncio.timeout(CONNECT_SECONDS):
        await writer.wait_closed()


async def tunnel(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    upstream: asyncio.StreamReader,
    onward: asyncio.StreamWriter,
) -> None:
    """Both ways until both have ended, or nothing moves any more."""
    clock = asyncio.get_running_loop().time

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while piece := await source.read(HEAD):
            silence.reschedule(clock() + SILENT_SECONDS)
            sink.write(piece)
            await sink.drain()
        sink.write_eof()

    async with asyncio.timeout(SILENT_SECONDS) as silence:
        ways = [asyncio.create_task(pump(reader, onward)), asyncio.create_task(pump(upstream, writer))]
        try:
            await asyncio.gather(*ways)
        finally:
            for way in ways:
                way.cancel()


def known(policies: Path) -> set[str]:
    return {path.stem for path in policies.glob("*.json")}


async def main(policies: Path, sockets: Path) -> None:
    """Look now and then for users who have come or gone."""
    users: dict[str, tuple[User, asyncio.Server]] = {}
    while True:
        wanted = known(policies)
        for name in wanted - users.keys():
            with contextlib.suppress(OSError):  # its folder is being made or removed
                user = User(policies / f"{name}.json", sockets / name)
                users[name] = user, await user.listen()
        for name in users.keys() - wanted:
            user, listening = users.pop(name)
            listening.close()
            user.cut()
        for user, _ in users.values():
            with contextlib.suppress(OSError):  # its files are being made or removed
                user.keep_to_policy()
                user.tell()
        await asyncio.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    os.umask(0)  # workers connect as another user; the folders say who sees which socket
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
