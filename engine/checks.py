"""A project's check commands, run on a commit in a fresh box of the user's kind, and what came of it.

That a check fails, hangs, eats its box or writes more than it may is an answer, `Tried`. That there is no
box to try it in is not: RunError, and the same trial may be begun again, by any worker.
"""

import asyncio
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from uuid import UUID

from engine import egress, space
from engine.errors import RunError
from engine.git import leftovers, workspace
from engine.git.command import GitError, plain
from engine.git.mirror import Mirror
from engine.git.store import Store
from engine.ports import Box, Finished, Report
from engine.record import storable
from engine.world import World

OUTPUT_CHARS = 16_000
LAYING_OUT_SECONDS = 1800.0
"""How much longer than its commands a trial may take: a large repository is laid out."""
_GRACE_SECONDS = 30.0
_OUTPUT_BYTES = 4 * OUTPUT_CHARS
_RUNNER = Path(__file__).with_name("check_runner.py").read_text()
_BRANCH = "checks"
_ENVIRONMENT = {
    "CI": "true",
    # The box is thrown away: its packages are the check's own, though Debian's pip is told otherwise.
    "PIP_BREAK_SYSTEM_PACKAGES": "1",
}
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[ -/]*[0-~]?)"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Tried:
    """What a commit's checks came to."""

    passed: bool
    command: str
    """The one that failed, or ""."""
    exit_code: int | None
    """As a shell says it (128 + N for signal N); None where the command did not end by itself."""
    output: str
    """The end of what the last command said, then why it failed where that is not for it to say."""
    seconds: float
    """What the commands took together."""


@dataclass(frozen=True, slots=True)
class _Work:
    mirror: Mirror
    project_id: UUID
    trial_id: UUID
    base: str
    sha: str


@dataclass(slots=True)
class _Begun:
    """How far the commands are, for whoever stops them."""

    command: str = ""
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class _Said:
    """One command, ended. `why` is what it cannot say itself."""

    exit_code: int | None
    output: bytes
    why: str = ""


async def try_commit(
    here: World,
    *,
    user_id: UUID,
    project_id: UUID,
    trial_id: UUID,
    base: str,
    sha: str,
    commands: Sequence[str],
    report: Report,
) -> Tried:
    """Run the commands in order, until one fails, on `sha` laid out in a box of its own.

    `base` is a commit of the project's mirror, `sha` it or one of its store or mirror. The box is gone when
    this returns, raises or is cancelled; that of a killed worker is replaced by the next try of the same
    `trial_id`. RunError where no check could be run, or the box was lost.
    """
    await here.containers.unless_parked()
    work = _Work(Mirror(here.settings.repos, project_id), project_id, trial_id, base, sha)
    seconds = here.settings.check_minutes * 60 + LAYING_OUT_SECONDS
    try:
        await egress.allow(here, user_id)
        await work.mirror.share(here.sandbox.shared_objects(user_id) / str(project_id))
        async with here.sandbox.trial(user_id, trial_id, project_id=project_id, seconds=seconds) as box:
            began = _Begun()
            try:
                return await space.guarded(
                    here, box, _try(here, box, work, commands, report=report, began=began)
                )
            except space.Outgrown as error:
                if not began.command:
                    raise
                return Tried(False, began.command, None, error.reason, time.monotonic() - began.at)
    except RunError:
        await here.containers.unless_parked()  # the stop takes the box away: that is no result
        raise


async def _try(
    here: World, box: Box, work: _Work, commands: Sequence[str], *, report: Report, began: _Begun
) -> Tried:
    await report("Laying out the merged files for the checks")
    where = await _lay_out(here, box, work)
    return await _run_all(here, box, where, commands, report=report, began=began)


async def _lay_out(here: World, box: Box, work: _Work) -> PurePosixPath:
    """The workspace at the commit: what the mirror has is borrowed, the rest goes in as a bundle."""
    start = work.sha if await work.mirror.holds(work.sha) else work.base
    where = await workspace.make(
        here.sandbox, box, work.trial_id, project_id=work.project_id, base=start, branch=_BRANCH
    )
    if start == work.sha:
        return where
    folder = here.settings.openlinear_home / "checks"
    await asyncio.to_thread(folder.mkdir, 0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as scratch:
        bundle = Path(scratch) / "commit.bundle"
        try:
            await Store(work.mirror).bundle_commit(work.sha, start, bundle)
        except GitError as error:
            reason = f"The merged commit could not be laid out: {plain(error.stderr)}"
            raise RunError(reason, "internal") from error
        await leftovers.restore(here.sandbox, box, work.trial_id, head=work.sha, bundle=bundle, files=None)
    return where


async def _run_all(
    here: World,
    box: Box,
    where: PurePosixPath,
    commands: Sequence[str],
    *,
    report: Report,
    began: _Begun,
) -> Tried:
    began.at = time.monotonic()
    ends = began.at + here.settings.check_minutes * 60
    said = _Said(None, b"")
    for number, command in enumerate(commands):
        if "\0" in command:
            raise RunError("A check command holds a character that no command can hold.", "invalid_request")
        began.command = command
        await report(f"Checking: {plain(command, limit=100)}")
        said = await _run(here, box, where, command, max(0.0, ends - time.monotonic()), first=number == 0)
        if said.exit_code != 0:
            return Tried(False, command, said.exit_code, _told(said), time.monotonic() - began.at)
    return Tried(True, "", said.exit_code, _told(said), time.monotonic() - began.at)


async def _run(
    here: World, box: Box, where: PurePosixPath, command: str, seconds: float, *, first: bool
) -> _Said:
    """One command. RunError where it is not the command's doing that it has no result."""
    argv = ["python3", "-I", "-c", _RUNNER, f"{seconds:.3f}", str(_OUTPUT_BYTES), command]
    try:
        done = await here.sandbox.exec(
            box, argv, cwd=where, env=_ENVIRONMENT, limit=2 * _OUTPUT_BYTES, timeout=seconds + _GRACE_SECONDS
        )
    except RunError as error:
        cause = await here.sandbox.cause_of_death(box.user_id, box.trial)
        if cause is not None and cause.kind != "limit":
            raise cause from error
        if cause is None and first and error.kind not in ("timeout", "limit"):
            raise
        # The box is well, and yet: the runner was stopped, or earlier commands have left no room in there.
        return _Said(None, b"", cause.reason if cause else _not_run(error.reason))
    if done.exit_code == 0:
        return _Said(0, done.stdout)
    cause = await here.sandbox.cause_of_death(box.user_id, box.trial)
    if cause is not None and cause.kind != "limit":
        raise cause
    if done.stderr.startswith(b"timeout"):
        return _Said(None, done.stdout, _too_long(here.settings.check_minutes))
    if done.stderr and cause is None:  # the runner's own
        return _Said(None, done.stdout, _not_run(done.stderr.decode(errors="replace")))
    return _Said(done.exit_code, done.stdout, cause.reason if cause else _why(here, done))


def _too_long(minutes: float) -> str:
    return (
        f"The checks did not end within {minutes:g} minutes and were stopped. Have them do less, or raise "
        "CHECK_MINUTES."
    )


def _not_run(said: str) -> str:
    last = (plain(said).splitlines() or ["no reason was given"])[-1]
    return f"The command could not be run to its end ({last}). Have the checks leave nothing running."


def _why(here: World, done: Finished) -> str:
    """What exit codes of shells mean, where a person can do something about it."""
    if done.exit_code == 127:
        place = "the worker image" if here.sandbox.name == "docker" else "this machine"
        return (
            "A program was not found. Have the check bring it (for example `npm ci && npm test` or "
            f"`pip install -r requirements.txt && pytest -q`), or add it to {place}."
        )
    return f"It was ended by signal {done.exit_code - 128}." if 128 < done.exit_code < 160 else ""


def _told(said: _Said) -> str:
    """The output's end and the reason: plain text that fits, whole lines where it was cut."""
    room = OUTPUT_CHARS - len(said.why) - 2
    text = readable(said.output)
    if len(text) > room:
        text = text[-room:]
        text = text[text.find("\n", 0, 1000) + 1 :]
    return storable("\n".join(part for part in (text, said.why) if part))


def readable(output: bytes) -> str:
    """What a terminal would show in the end: no escapes, and the last of a line that was rewritten."""
    text = _ESCAPES.sub("", output.decode(errors="replace").replace("\r\n", "\n"))
    lines = (line.rstrip("\r").rpartition("\r")[2].rstrip() for line in text.split("\n"))
    return _CONTROLS.sub("", "\n".join(lines)).strip("\n")
