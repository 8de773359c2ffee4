"""Commit objects: whom they name, and one written without a process, since a batch makes a hundred."""

import errno
import hashlib
import re
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from engine.git.command import disk_full

OBJECT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
"""An object's name, by either of git's hashes."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Author and committer as a commit can hold them, and when, in git's own form."""

    name: str
    email: str
    date: str

    @property
    def environment(self) -> dict[str, str]:
        values = {"NAME": self.name, "EMAIL": self.email, "DATE": f"@{self.date}"}
        return {
            f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in values.items()
        }


def identity(author: tuple[str, str], when: datetime) -> Identity:
    """`author` is (name, email), of any characters."""
    name, email = (
        re.sub(r"[\x00-\x20\x7f<>]+", " ", part.encode(errors="replace").decode())[:200].strip(" .,:;'\"\\")
        for part in author
    )
    return Identity(
        name or "OpenLinear", email or "agent@openlinear.invalid", f"{int(when.timestamp())} +0000"
    )


def message_bytes(message: str) -> bytes:
    return message.replace("\0", "").encode(errors="replace")


def write_commit(objects: Path, tree: str, parents: Sequence[str], message: str, by: Identity) -> str:
    """Write the commit that `git commit-tree` would make into a repository's objects folder; its name.

    It is there whole or not at all. RunError for a full disk. Blocks.
    """
    stamp = f"{by.name} <{by.email}> {by.date}"
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents), f"author {stamp}"]
    body = "\n".join([*lines, f"committer {stamp}", "", ""]).encode() + message_bytes(message)
    content = b"commit %d\0" % len(body) + body
    hashed = hashlib.sha256(content) if len(tree) == 64 else hashlib.sha1(content, usedforsecurity=False)
    name = hashed.hexdigest()
    try:
        _write(objects / name[:2] / name[2:], zlib.compress(content, 1))
    except OSError as error:
        raise (disk_full() if error.errno == errno.ENOSPC else error) from error
    return name


def _write(path: Path, content: bytes) -> None:
    if path.exists():
        return
    path.parent.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix="tmp_obj_", delete=False) as fresh:
        file = Path(fresh.name)
        try:
            fresh.write(content)
            fresh.flush()
            file.chmod(0o444)
            file.rename(path)
        except OSError:
            file.unlink(missing_ok=True)
            raise
