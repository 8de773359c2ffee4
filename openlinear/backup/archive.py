"""The file of a backup: a gzipped tar of plain files, written and read in one stream.

A backup may come from anybody, so reading trusts nothing: no links, folders or headers that ask for
memory, names of a few fixed shapes, and all of it is read and compared with its hashes before any is used.
"""

import gzip
import hashlib
import hmac
import io
import re
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from openlinear.backup.manifest import FORMAT, Entry, Manifest
from openlinear.errors import StartError

CHUNK = 1 << 20
BLOCK = tarfile.BLOCKSIZE
MAGIC = "openlinear backup "
MANIFEST_LIMIT = 64 << 20
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_NAMES = re.compile(
    rf"format|manifest|seal|tables/[a-z_][a-z0-9_]*|(?:runs|demo|mirrors)/{_UUID}\.(?:pack|refs)"
    rf"|kept/(?:{_PART}/)*{_PART}"
)
NAME_LIMIT = 100
MEMBERS_LIMIT = 1_000_000

Seal = Callable[[bytes], str]
"""Signs a manifest with the installation's key."""


class Writer:
    """Adds files to `file`, then `finish`es with the manifest."""

    def __init__(self, file: IO[bytes]) -> None:
        self._stream = gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file)
        self.entries: dict[str, Entry] = {}
        self._put("format", io.BytesIO(f"{MAGIC}{FORMAT}\n".encode()))

    def add(self, name: str, content: IO[bytes]) -> None:
        """All of a seekable file, from its start."""
        self.entries[name] = self._put(name, content)

    def finish(self, manifest: Manifest, seal: Seal) -> None:
        said = manifest.model_dump_json().encode()
        self._put("manifest", io.BytesIO(said))
        self._put("seal", io.BytesIO(seal(said).encode()))
        self._stream.write(bytes(2 * BLOCK))
        self._stream.close()

    def _put(self, name: str, content: IO[bytes]) -> Entry:
        if not fit(name):
            raise StartError(f"{name!r} is no name for a file of a backup.")
        info = tarfile.TarInfo(name)
        info.size = content.seek(0, io.SEEK_END)
        info.mode, info.mtime = 0o600, int(time.time())
        content.seek(0)
        self._stream.write(info.tobuf(tarfile.GNU_FORMAT))
        digest = hashlib.sha256()
        left = info.size  # a file that grows meanwhile is taken as long as it was
        while left:
            chunk = content.read(min(CHUNK, left))
            if not chunk:
                raise StartError(f"{name} became shorter while it was read: try again.")
            digest.update(chunk)
            self._stream.write(chunk)
            left -= len(chunk)
        self._stream.write(bytes(-info.size % BLOCK))
        return Entry(size=info.size, sha256=digest.hexdigest())


def fit(name: str) -> bool:
    return len(name) <= NAME_LIMIT and _NAMES.fullmatch(name) is not None


@dataclass
class Member:
    """A file of the archive, to be read before the next one is asked for."""

    name: str
    size: int
    _stream: gzip.GzipFile
    _left: int

    def chunks(self) -> Iterator[bytes]:
        while self._left:
            chunk = _exactly(self._stream, min(CHUNK, self._left))
            self._left -= len(chunk)
            yield chunk

    def whole(self, limit: int) -> bytes:
        if self.size > limit:
            raise damaged(f"its {self.name} is too long")
        return b"".join(self.chunks())


def members(path: Path) -> Iterator[Member]:
    """Each file in turn. StartError at what OpenLinear would never have written."""
    seen: set[str] = set()
    with path.open("rb") as file, gzip.GzipFile(fileobj=file, mode="rb") as stream:
        while (block := _exactly(stream, BLOCK)) != bytes(BLOCK):
            info = _header(block)
            if info.name in seen or len(seen) == MEMBERS_LIMIT:
                raise damaged("it holds something that no backup holds")
            seen.add(info.name)
            member = Member(info.name, info.size, stream, info.size)
            yield member
            for _ in member.chunks():
                pass
            _exactly(stream, -info.size % BLOCK)
        if _exactly(stream, BLOCK).strip(b"\0") or _read(stream, 1):
            raise damaged("something follows its end")


def _header(block: bytes) -> tarfile.TarInfo:
    """What a file's header says; not by tarfile's own reader, which takes extensions at their word."""
    try:
        info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
    except (tarfile.TarError, UnicodeError) as error:
        raise damaged("it is changed") from error
    if info.type != tarfile.REGTYPE or info.size < 0 or not fit(info.name):
        raise damaged("it holds something that no backup holds")
    return info


@dataclass(frozen=True, slots=True)
class Checked:
    """A backup whose files are those its manifest names."""

    manifest: Manifest
    said: bytes
    seal: str

    def sealed_by(self, seal: Seal) -> bool:
        return hmac.compare_digest(seal(self.said), self.seal)


def check(path: Path, room: int) -> Checked:
    """Read all of it, compare it with its manifest. `room` is the most bytes that it may unpack to."""
    found: dict[str, Entry] = {}
    said, seal, total = b"", "", 0
    for position, member in enumerate(members(path)):
        total += member.size
        if total > room:
            raise StartError(
                f"{path} unpacks to more than the {room / 1e9:.1f} GB that are free here: make room first."
            )
        if position == 0:
            _check_format(path, member)
        elif seal:
            raise damaged("something follows its end")
        elif member.name == "manifest":
            said = member.whole(MANIFEST_LIMIT)
        elif member.name == "seal":
            seal = member.whole(1000).decode("ascii", "replace")
        else:
            digest = hashlib.sha256()
            for chunk in member.chunks():
                digest.update(chunk)
            found[member.name] = Entry(size=member.size, sha256=digest.hexdigest())
    if not said or not seal:
        raise damaged("its end is missing")
    try:
        manifest = Manifest.model_validate_json(said)
    except ValidationError:
        raise damaged("what it says of itself cannot be read") from None
    named = {name for name in found if name.startswith("tables/")}
    if manifest.entries != found or {f"tables/{name}" for name in manifest.tables} != named:
        raise damaged("its files are not those that it names")
    return Checked(manifest, said, seal)


def _check_format(path: Path, member: Member) -> None:
    said = member.whole(1000).decode("ascii", "replace") if member.name == "format" else ""
    number = said.removeprefix(MAGIC).strip()
    if not said.startswith(MAGIC) or not number.isdigit():
        raise StartError(f"{path} is not a backup of OpenLinear.")
    if int(number) > FORMAT:
        raise StartError(f"{path} was made by a newer OpenLinear: install that version, then restore it.")


def damaged(why: str) -> StartError:
    return StartError(f"The backup is damaged: {why}. Nothing was restored; take another copy of it.")


def _exactly(stream: gzip.GzipFile, size: int) -> bytes:
    chunk = _read(stream, size)
    if len(chunk) != size:
        raise damaged("it is cut short")
    return chunk


def _read(stream: gzip.GzipFile, size: int) -> bytes:
    try:
        return stream.read(size)
    except gzip.BadGzipFile as error:
        raise damaged("it is not gzipped, or its checksum is wrong") from error
    except (EOFError, zlib.error) as error:
        raise damaged("it is cut short or changed") from error
