"""What no commit holds of a workspace, out of its sandbox and back into another one."""

import asyncio
import json
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from uuid import UUID

from engine.errors import RunError
from engine.git.command import MEBIBYTE, plain
from engine.git.workspace import facts_of, failed, folder, run
from engine.ports import Box, Sandbox

_ARCHIVER = Path(__file__).with_name("archive.py").read_text()
_CHUNK = 8 * MEBIBYTE
_SLACK = 16 * MEBIBYTE
"""How much more than what it holds an archive may be: names and compression of what cannot be compressed."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that was not archived. `bytes` is 0 where it could not be weighed."""

    name: str
    bytes: int
    why: str

    def plain(self) -> dict[str, str | int]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Archived:
    entries: int
    """0 where there was nothing to archive, or no workspace: then nothing was written."""
    left_out: tuple[LeftOut, ...] = ()


async def archive(
    sandbox: Sandbox,
    box: Box,
    run_id: UUID,
    *,
    project_id: UUID,
    base: str,
    out: BinaryIO,
    limit_mb: int,
    timeout: float = 600,
) -> Archived:
    """Write a `.tar.gz` of what git ignores in the workspace, or cannot hold, to `out`.

    Over `limit_mb` megabytes the largest entries are left out, and named. RunError when it cannot be read.
    """
    finished = await run(
        sandbox,
        box,
        "archive",
        run_id,
        [str(box.objects / str(project_id)), base, _ARCHIVER, str(limit_mb * MEBIBYTE)],
        stdout=out,
        limit=limit_mb * MEBIBYTE + _SLACK,
        timeout=timeout,
    )
    facts = facts_of(finished)
    if finished.exit_code != 0 or not ("gone" in facts or "files" in facts):
        raise failed("archived", finished)
    out.flush()
    left = tuple(_left_out(fact) for fact in facts.get("left", []))
    entries = facts.get("files", ["0"])[0]
    return Archived(int(entries) if entries.isdigit() else 1, left)


async def restore(
    sandbox: Sandbox, box: Box, run_id: UUID, *, head: str | None, bundle: Path | None, files: Path | None
) -> None:
    """Put kept work into a fresh workspace that was made at its base. Repeatable; the agent has not begun.

    RunError when it does not fit: the workspace is then to be made anew.
    """
    state = folder(box, run_id).parent / f".{run_id}"
    for source, name in ((bundle, "work.bundle"), (files, "files.tar.gz")):
        if source is not None:
            await lay_down(sandbox, box, source, state / name)
    finished = await run(sandbox, box, "restore", run_id, [head or ""], timeout=600)
    if finished.exit_code != 0:
        raise failed("restored", finished)


async def lay_down(sandbox: Sandbox, box: Box, source: Path, target: PurePosixPath) -> None:
    """Copy a file into the sandbox, piece by piece: no more than one of them is in memory."""
    content = await asyncio.to_thread(source.open, "rb")
    with content:
        write = ">"
        while piece := await asyncio.to_thread(content.read, _CHUNK):
            argv = ["sh", "-c", f'cat {write}"$1"', "sh", str(target)]
            finished = await sandbox.exec(box, argv, stdin=piece, timeout=120)
            if finished.exit_code != 0:
                raise failed("restored", finished)
            write = ">>"


def _left_out(fact: str) -> LeftOut:
    """One line that came out of a sandbox: a number, a name as JSON, and the reason."""
    size, _, rest = fact.partition(" ")
    try:
        name, end = json.JSONDecoder().raw_decode(rest)
    except ValueError as error:
        raise RunError("The list of what was left out is damaged.", "sandbox") from error
    return LeftOut(
        plain(str(name), limit=200), int(size) if size.isdigit() else 0, plain(rest[end:], limit=80)
    )
