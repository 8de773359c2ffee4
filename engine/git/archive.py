"""Runs inside a sandbox: what a commit cannot hold of a workspace, as a compressed tar on stdout.

`python3 -I -c CODE WORKSPACE STATE LIMIT < NAMES`, where NAMES are paths that git ignores or links,
each ended by a zero byte. In the archive `files/` holds them, `git/` what the agent's own repository
has beside the commits, `nested/` repositories that were found inside the workspace. Whole entries are
left out, the largest first, so that all of them stay under LIMIT bytes. Nothing is followed, opened
for long, or trusted: links stay links, and pipes, sockets and devices are passed over.

Facts for the engine go to stderr: `openlinear: files COUNT`, `openlinear: left BYTES NAME WHY`.
"""

import gzip
import json
import os
import stat
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

NAMED = 50
OVERHEAD = 1024


def members(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Every file, link and folder under `path`, itself first, with its lstat. Never through a link."""
    waiting = [path]
    while waiting:
        one = waiting.pop()
        found = one.lstat()
        yield one, found
        if stat.S_ISDIR(found.st_mode):
            waiting += one.iterdir()


def weigh(path: Path) -> int:
    """What this entry takes in the archive, in bytes. OSError when part of it cannot be read."""
    size = 0
    for one, found in members(path):
        size += OVERHEAD
        if stat.S_ISREG(found.st_mode):
            if not os.access(one, os.R_OK):
                raise PermissionError(0, "cannot be read")
            size += found.st_size
    return size


def add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    """One file, folder or link under its name."""
    found = path.lstat()
    entry = tarfile.TarInfo(name)
    entry.mode, entry.mtime = stat.S_IMODE(found.st_mode) & 0o755, int(found.st_mtime)
    if stat.S_ISDIR(found.st_mode):
        entry.type = tarfile.DIRTYPE
        tar.addfile(entry)
    elif stat.S_ISLNK(found.st_mode):
        entry.type, entry.linkname = tarfile.SYMTYPE, str(path.readlink())
        tar.addfile(entry)
    elif stat.S_ISREG(found.st_mode):
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as content:
            entry.size = os.fstat(handle).st_size
            tar.addfile(entry, cast(BinaryIO, Filled(content)))


class Filled:
    """A file that never ends early, should it shrink meanwhile: tar has written its size down already."""

    def __init__(self, content: BinaryIO) -> None:
        self.content = content

    def read(self, size: int) -> bytes:
        return self.content.read(size).ljust(size, b"\0")


def wanted(workspace: Path, state: Path) -> Iterator[tuple[Path, str]]:
    """Each entry with its name in the archive."""
    for raw in sorted(set(sys.stdin.buffer.read().split(b"\0")) - {b""}):
        name = os.fsdecode(raw.rstrip(b"/"))
        yield workspace / name, f"files/{name}"
    own = workspace / ".git"
    if own.is_dir() and not own.is_symlink() and used(own / "objects"):
        yield own, "git"
    if (state / "nested").is_dir():
        yield state / "nested", "nested"


def used(objects: Path) -> bool:
    """Whether the agent's repository holds any object of its own."""
    return any(name.name != "info" and any(name.iterdir()) for name in objects.iterdir() if name.is_dir())


def chosen(
    entries: Iterator[tuple[Path, str]], limit: int
) -> tuple[list[tuple[Path, str]], list[tuple[int, str, str]]]:
    """What is archived, the smallest first, and (bytes, name, why) of what is left out."""
    sizes, left = [], []
    for path, name in entries:
        try:
            sizes.append((weigh(path), name, path))
        except OSError as error:
            left.append((0, name, error.strerror or "cannot be read"))
    taken, total = [], 0
    for size, name, path in sorted(sizes):
        if total + size > limit:
            left.append((size, name, "over the limit"))
        else:
            taken.append((path, name))
            total += size
    return taken, left


def write(taken: list[tuple[Path, str]]) -> None:
    with (
        gzip.GzipFile(fileobj=sys.stdout.buffer, mode="wb", compresslevel=1, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        folder = tarfile.TarInfo("files")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(folder)
        for path, name in taken:
            for one, _ in members(path):
                add(tar, one, name + str(one)[len(str(path)) :])


def tell(*words: object) -> None:
    sys.stderr.write("openlinear: " + " ".join(map(str, words)) + "\n")


def main() -> None:
    workspace, state, limit = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    taken, left = chosen(wanted(workspace, state), limit)
    if taken:
        write(taken)
        sys.stdout.buffer.flush()
    tell("files", len(taken))
    for size, name, why in left[:NAMED]:
        tell("left", size, json.dumps(name[:200]), why)
    if len(left) > NAMED:
        rest = sum(size for size, *_ in left[NAMED:])
        tell("left", rest, json.dumps(f"{len(left) - NAMED} more"), "and more")


main()
