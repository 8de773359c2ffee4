"""Which tasks would clash, told while their agents are still at work on them.

One exec in the sandbox of the user whose workspaces they are, by the git there: see overlaps.py.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any
from uuid import UUID

from engine.errors import RunError
from engine.git.command import MEBIBYTE
from engine.git.commits import OBJECT
from engine.git.workspace import failed
from engine.ports import Box, Sandbox

_COMPARE = Path(__file__).with_name("overlaps.py").read_text()
_SLACK = 10
"""Seconds that it has to tidy up after it has ended itself."""
_MOST = 50


@dataclass(frozen=True, slots=True)
class Live:
    """A workspace that an agent works in, and the commit that it was made at."""

    run_id: UUID
    base: str


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two workspaces that would clash if both were merged as they are now."""

    a: UUID
    b: UUID
    files: tuple[str, ...]
    """Some of the paths in conflict, fifty at most; they come out of a sandbox."""


async def overlaps(
    sandbox: Sandbox, box: Box, *, project_id: UUID, lives: Sequence[Live], timeout: int = 60
) -> list[Overlap]:
    """Compare workspaces of one project in one user's sandbox, each with each. Nothing in them is changed.

    In the order of `lives`. Files that differ from the base, committed or not, count, those that git
    ignores do not. A workspace that is gone or in no state to be read clashes with nobody. RunError when
    the sandbox gives no answer within `timeout` seconds, or one that makes no sense.
    """
    asked = [live for live in {live.run_id: live for live in lives}.values() if OBJECT.fullmatch(live.base)]
    if len(asked) < 2:
        return []
    question = {
        "repos": str(box.repos),
        "objects": str(box.objects / str(project_id)),
        "seconds": timeout,
        "workspaces": [(str(live.run_id), live.base) for live in asked],
    }
    finished = await sandbox.exec(
        box,
        ["python3", "-I", "-c", _COMPARE],
        stdin=json.dumps(question).encode(),
        limit=8 * MEBIBYTE,
        timeout=timeout + _SLACK,
    )
    if finished.exit_code != 0:
        raise failed("compared", finished)
    try:
        answer = json.loads(finished.stdout)
    except (ValueError, RecursionError) as error:
        raise _senseless() from error
    return _parsed(answer, [live.run_id for live in asked])


def _parsed(answer: Any, runs: Sequence[UUID]) -> list[Overlap]:
    """The answer, read as from a stranger: whatever was in the sandbox may have written it."""
    pairs = set(combinations(range(len(runs)), 2))
    found = []
    for entry in answer if isinstance(answer, list) else [None]:
        match entry:
            case [int(a), int(b), [*files]] if (a, b) in pairs and 0 < len(files) <= _MOST:
                pairs.remove((a, b))
                found.append(Overlap(runs[a], runs[b], tuple(map(_path, files))))
            case _:
                raise _senseless()
    return found


def _path(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 4096:
        raise _senseless()
    return value.encode(errors="replace").decode().replace("\0", "\ufffd")


def _senseless() -> RunError:
    return RunError(
        "The sandbox gave no answer that makes sense when its workspaces were compared.", "sandbox"
    )
