"""A run's workspace: made, collected and removed inside its sandbox, by the git there.

The host's git never reads one. Each operation is a single exec of `workspace.sh`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from uuid import UUID

from engine.errors import RunError
from engine.git.command import MEBIBYTE, disk_full, plain
from engine.ports import Box, Finished, Sandbox

_SCRIPT = Path(__file__).with_name("workspace.sh").read_bytes()
_FACT = "openlinear: "
AGENT = ("OpenLinear Agent", "agent@openlinear.invalid")


@dataclass(frozen=True, slots=True)
class Collected:
    """What an agent left: its own last commit (or the base), and the tree of all its files."""

    head: str
    tree: str
    changed: bool
    """Whether anything differs from the base; when not, no pack was written."""
    notes: tuple[str, ...] = ()
    """What a reader of the log should know, in plain words."""


def folder(box: Box, run_id: UUID) -> PurePosixPath:
    """The run's workspace as seen inside the sandbox."""
    return box.repos / str(run_id)


async def begin(
    sandbox: Sandbox, box: Box, run_id: UUID, *, branch: str, author: tuple[str, str] = AGENT
) -> bool:
    """The workspace as a repository without files, for the agent to open; `make` fills it.

    One that is there, filled or not, is left as it is: True then.
    """
    finished = await run(sandbox, box, "begin", run_id, [branch, *author], timeout=60)
    if finished.exit_code != 0:
        raise failed("made", finished)
    return "there" in facts_of(finished)


async def make(
    sandbox: Sandbox,
    box: Box,
    run_id: UUID,
    *,
    project_id: UUID,
    base: str,
    branch: str,
    author: tuple[str, str] = AGENT,
    timeout: float = 600,
) -> PurePosixPath:
    """Check out `base` on a new branch, in a repository that borrows the lent objects of the project.

    A workspace that was only begun is filled, one of the same base is kept as it is, a half-made one
    is made again. `author` is whom the agent's own commits name.
    """
    objects = str(box.objects / str(project_id))
    finished = await run(sandbox, box, "make", run_id, [objects, base, branch, *author], timeout=timeout)
    if finished.exit_code != 0:
        raise failed("made", finished)
    return folder(box, run_id)


async def collect(
    sandbox: Sandbox,
    box: Box,
    run_id: UUID,
    *,
    project_id: UUID,
    base: str,
    pack_out: BinaryIO,
    limit_mb: int,
    timeout: float = 600,
) -> Collected:
    """Write a pack of all that is new since `base` to `pack_out`. Nothing of the agent's is lost or run.

    RunError when the pack is over `limit_mb` megabytes or a file cannot be read.
    """
    finished = await run(
        sandbox,
        box,
        "collect",
        run_id,
        [str(box.objects / str(project_id)), base],
        stdout=pack_out,
        limit=limit_mb * MEBIBYTE,
        timeout=timeout,
    )
    facts = facts_of(finished)
    if finished.exit_code != 0 or not {"head", "tree"} <= facts.keys():
        raise failed("collected", finished)
    pack_out.flush()
    notes = dict.fromkeys(plain(note, limit=200) for note in facts.get("note", [])[:20])
    return Collected(facts["head"][0], facts["tree"][0], "changed" in facts, tuple(notes))


async def remove(sandbox: Sandbox, box: Box, run_id: UUID, *, project_id: UUID) -> None:
    """Remove the workspace and what belongs to it; one that is gone already is removed too.

    Tracked files stay behind as a spare, which the next `make` for this project begins with.
    """
    objects = str(box.objects / str(project_id))
    finished = await run(sandbox, box, "remove", run_id, [objects], timeout=300)
    if finished.exit_code != 0:
        raise failed("removed", finished)


async def run(
    sandbox: Sandbox,
    box: Box,
    job: str,
    run_id: UUID,
    args: Sequence[str],
    *,
    stdout: BinaryIO | None = None,
    limit: int = MEBIBYTE,
    timeout: float,
) -> Finished:
    argv = ["sh", "-s", "--", job, str(folder(box, run_id)), *args]
    return await sandbox.exec(box, argv, stdin=_SCRIPT, stdout=stdout, limit=limit, timeout=timeout)


def facts_of(finished: Finished) -> dict[str, list[str]]:
    facts: dict[str, list[str]] = {}
    for line in finished.stderr.decode(errors="replace").splitlines():
        if line.startswith(_FACT):
            key, _, value = line.removeprefix(_FACT).partition(" ")
            facts.setdefault(key, []).append(value)
    return facts


def failed(what: str, finished: Finished) -> RunError:
    said = finished.stderr.decode(errors="replace")
    if "No space left on device" in said:
        return disk_full()
    return RunError(f"The workspace could not be {what}: {plain(said) or 'no reason was given'}", "sandbox")
