"""Folders of trials: a cell for each, whose name tells its trial, its project and when its time is up."""

import subprocess
import time
from pathlib import Path
from uuid import UUID, uuid4

from engine.folders import names_in
from engine.sandbox.cell import BOX, Cell
from engine.sandbox.reaper import reap
from engine.settings import EngineSettings

GONE = "The folder that the checks ran in is gone: somebody removed it."
_OPEN = "open"
"""A file beside the cell's own folders that goes first: what is killed after that did not die by itself."""
_REMOVE = 'chmod -R u+rwX -- "$1" 2>/dev/null; rm -rf -- "$1"'


def name(trial_id: UUID, project_id: UUID, seconds: float) -> str:
    """Another each time: whoever made an earlier one removes that alone."""
    return f"{trial_id}.{project_id}.{time.time() + seconds:.0f}.{uuid4().hex[:8]}"


def make(cell: Cell, trial_id: UUID) -> None:
    """The cell's folders, in the place of an earlier one of this trial."""
    trials = cell.folder.parent
    for left in names_in(trials):
        if left.startswith(f"{trial_id}."):
            _remove(trials / left)
    cell.make()
    (cell.folder / _OPEN).touch()


def is_there(cell: Cell) -> bool:
    return (cell.folder / _OPEN).exists()


def remove(cell: Cell) -> None:
    _remove(cell.folder)


def clear(settings: EngineSettings, *, under_way: bool) -> list[UUID]:
    """Remove those whose time is up, or all; the trials that they were of."""
    trials, cleared = settings.openlinear_home.absolute() / "trials", []
    for one in names_in(trials):
        trial_id, _, until, _ = one.split(".")
        if under_way or float(until) < time.time():
            _remove(trials / one)
            cleared.append(UUID(trial_id))
    return cleared


def _remove(folder: Path) -> None:
    (folder / _OPEN).unlink(missing_ok=True)
    reap(f"{BOX}={folder.name}".encode())
    subprocess.run(["sh", "-c", _REMOVE, "sh", str(folder)], check=False, timeout=300)
