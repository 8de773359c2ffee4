"""Nothing of a run is destroyed that is not on its remote: what is not, is kept first.

`clear` is the only way a workspace goes. Kept work is a folder of its own, `{home}/kept/{run_id}`: a git
bundle of the run's commits, an archive of what git ignores, and a note of both. It is there whole or
not at all, since it is renamed into place; its row is written after, from the note. So each step may
be repeated, by whoever comes next.
"""

import asyncio
import json
import logging
import os
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from engine.changes import collect_changes, known
from engine.errors import RunError
from engine.git import leftovers, workspace
from engine.git.command import GitError
from engine.git.mirror import Mirror
from engine.git.store import Store
from engine.locks import alone
from engine.models import KeptWork, Run, now
from engine.ports import Box
from engine.record import Recorder
from engine.settings import EngineSettings
from engine.storage import BUNDLE, FILES
from engine.world import World

log = logging.getLogger(__name__)

NOTE = "kept.json"


def folder(settings: EngineSettings, run_id: UUID) -> Path:
    return settings.kept / str(run_id)


def unfinished(settings: EngineSettings, run_id: UUID) -> Path:
    """Where kept work is put together. Left by a worker that died, it is begun anew."""
    return settings.kept / f".{run_id}.new"


def lock_name(run_id: UUID) -> str:
    """Held while a run's work is kept, taken over or cleared away."""
    return f"clear:{run_id}"


async def clear(
    here: World, run: Run, box: Box, recorder: Recorder, *, done: bool, wait: bool = True
) -> bool:
    """Keep what is not pushed, then remove the run's workspace. False where it has to stay for now.

    `done` says that the run ended well. `wait` is for the run's own end; the janitor comes again.
    """
    if done:
        await _remove(here, run, box)
        return True
    async with alone(here.database.libpq_url, lock_name(run.id), wait=wait) as ours:
        if not ours or not await keep(here, run, box, recorder):
            return False
        await _remove(here, run, box)
        return True


async def keep(here: World, run: Run, box: Box, recorder: Recorder) -> bool:
    """Whether the run's workspace may go: all of it is pushed, or nothing, or has been kept.

    The caller holds the run's lock. What prevents the keeping is logged: then the workspace must stay.
    """
    try:
        if run.base_sha is None or await adopted(here, run.id):
            return True
        await here.sandbox.stop_run(box, run.id)
        store = Store(Mirror(here.settings.repos, run.project_id))
        if run.head_sha is None and await _there(here, run, box):
            await collect_changes(here, run, box, recorder)
        head = await store.head_of(run.id)
        if head is not None and head == run.pushed_sha:
            return True
        if await _put_by(here, run, box, store, head):
            await adopted(here, run.id)
    except (RunError, GitError, OSError) as error:
        log.warning("run %s: its work could not be kept, so its workspace stays: %s", run.id, error)
        return False
    return True


async def _there(here: World, run: Run, box: Box) -> bool:
    found = await here.sandbox.exec(box, ["test", "-d", str(workspace.folder(box, run.id))])
    return found.exit_code == 0


async def _put_by(here: World, run: Run, box: Box, store: Store, head: str | None) -> bool:
    """Write the run's folder, whole or not at all. False where there is nothing to keep."""
    fresh = unfinished(here.settings, run.id)
    await asyncio.to_thread(_begin, fresh)
    try:
        with (fresh / FILES).open("xb") as out:
            archived = await leftovers.archive(
                here.sandbox,
                box,
                run.id,
                project_id=run.project_id,
                base=known(run.base_sha),
                out=out,
                limit_mb=here.settings.kept_files_mb,
            )
        if head is None and not archived.entries and not archived.left_out:
            return False
        if head is not None:
            await store.bundle(run.id, known(run.base_sha), fresh / BUNDLE)
        left_out = [one.plain() for one in archived.left_out]
        await asyncio.to_thread(_seal, fresh, folder(here.settings, run.id), _note(run, head, left_out))
    finally:
        await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)
    return True


def _note(run: Run, head: str | None, left_out: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "run_id": str(run.id),
        "task_id": str(run.task_id),
        "project_id": str(run.project_id),
        "user_id": str(run.user_id),
        "title": run.title,
        "base_sha": run.base_sha,
        "head_sha": head,
        "created_at": now().isoformat(),
        "left_out": left_out,
    }


def _begin(fresh: Path) -> None:
    fresh.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)


def _seal(fresh: Path, final: Path, note: dict[str, Any]) -> None:
    """Everything is on the disk before the name that says so is."""
    if not (fresh / FILES).stat().st_size:
        (fresh / FILES).unlink()
    (fresh / NOTE).write_text(json.dumps(note))
    for path in (*fresh.iterdir(), fresh):
        _sync(path)
    fresh.rename(final)
    _sync(final.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# -- its row ----------------------------------------------------------------------------------------


async def adopted(here: World, run_id: UUID) -> bool:
    """Whether the run's work is kept already; its row is written where only the folder is there."""
    row = await asyncio.to_thread(_read_note, here.settings, run_id)
    if row is None:
        return False
    async with here.database.transaction() as session:
        query = insert(KeptWork).values(**row).on_conflict_do_nothing().returning(col(KeptWork.run_id))
        if (await session.execute(query)).first() is not None:
            await here.product.kept(session, run_id)
    return True


def _read_note(settings: EngineSettings, run_id: UUID) -> dict[str, Any] | None:
    """The columns of a kept folder's row; None where there is no folder, or none of ours."""
    place = folder(settings, run_id)
    try:
        note = json.loads((place / NOTE).read_text())
        created = datetime.fromisoformat(note["created_at"])
        ids = {name: UUID(note[name]) for name in ("run_id", "task_id", "project_id", "user_id")}
        rest = {name: note[name] for name in ("title", "base_sha", "head_sha", "left_out")}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return {
        **ids,
        **rest,
        "created_at": created,
        "expires_at": created + timedelta(days=settings.kept_days),
        "bundle_bytes": _size(place / BUNDLE),
        "files_bytes": _size(place / FILES),
    }


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


async def _remove(here: World, run: Run, box: Box) -> None:
    await workspace.remove(here.sandbox, box, run.id, project_id=run.project_id)
    await _tidied(here, run.id)


async def _tidied(here: World, run_id: UUID) -> None:
    async with here.database.transaction() as session:
        await session.execute(update(Run).where(col(Run.id) == run_id).values(tidied_at=now()))


# -- and back ---------------------------------------------------------------------------------------


async def start_of(here: World, run: Run) -> str | None:
    """The commit that a run which restores kept work starts from; None for any other run.

    RunError when the work, or that commit, is not there any more.
    """
    if run.restores is None:
        return None
    kept = await _kept(here, run)
    if not await Mirror(here.settings.repos, run.project_id).holds(kept.base_sha):
        raise RunError(
            "The commit that the kept work began with is no longer in the repository. Download the work and "
            "apply it by hand.",
            "remote",
        )
    return kept.base_sha


async def put_back(here: World, run: Run, box: Box) -> None:
    """Lay the kept work that this run restores into its fresh workspace. Repeatable."""
    if run.restores is None:
        return
    kept, place = await _kept(here, run), folder(here.settings, run.restores)
    bundle, files = place / BUNDLE, place / FILES
    await leftovers.restore(
        here.sandbox,
        box,
        run.id,
        head=kept.head_sha,
        bundle=bundle if kept.bundle_bytes else None,
        files=files if kept.files_bytes else None,
    )
    async with here.database.transaction() as session:
        query = update(KeptWork).where(col(KeptWork.run_id) == run.restores)
        await session.execute(query.values(restored_at=now()))


async def _kept(here: World, run: Run) -> KeptWork:
    """What this run restores, which is its own user's. RunError when it has expired."""
    async with here.database.transaction() as session:
        kept = await session.get(KeptWork, run.restores)
    there = await asyncio.to_thread(folder(here.settings, kept.run_id).is_dir) if kept else False
    if kept is None or not there or kept.user_id != run.user_id or kept.project_id != run.project_id:
        raise RunError("The kept work is no longer there. Execute the task anew.", "invalid_request")
    return kept
