"""What is left over in sandboxes and of them: leases, workspaces, containers and volumes."""

import asyncio
import logging
import re
import shutil
from collections.abc import Collection
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlmodel import col

from engine import ahead, kept
from engine.ending import lease
from engine.errors import RunError
from engine.findings import Found, goes_on, unsettled
from engine.folders import ids_in
from engine.models import Container, Lease, Run, now
from engine.ownership import Superseded, claim_untidied
from engine.ports import Box
from engine.record import Recorder
from engine.world import World

log = logging.getLogger(__name__)

_WORKSPACE = re.compile(r"\.?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_SPARE = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.[0-9a-f-]+")
_LIST = 'cd "$1" && ls -A1 . && echo // && { ls -A1 .spares 2>/dev/null || :; }'
_REMOVE = 'cd "$1" && shift && { chmod -R u+rwX -- "$@" 2>/dev/null; rm -rf -- "$@"; }'
NAMED = 500
"""Workspaces of one user that are looked at in one round."""


async def leases(here: World) -> list[Found]:
    """Leases of runs that are over and cleared up after keep a sandbox awake for nobody."""
    async with here.database.transaction() as session:
        over = select(col(Run.id)).where(col(Run.cleared_at).is_not(None))
        gone = delete(Lease).where(col(Lease.run_id).in_(over)).returning(col(Lease.run_id))
        ids = (await session.scalars(gone)).all()
    return [Found("lease", str(run_id), "The lease of an ended run was removed.", True) for run_id in ids]


async def workspaces(here: World) -> list[Found]:
    """Workspaces of ended runs are cleared away as others are; those of unknown runs go after a while."""
    found: list[Found] = []
    for user_id, state in (await here.sandbox.found()).items():
        if state == "stopped":
            continue  # nothing came into it since it was last looked into
        try:
            async with here.containers.borrow(user_id) as box:
                found += await _look_into(here, box) if box is not None else []
        except RunError as error:  # one bad sandbox must not hide the others
            found.append(Found("sandbox", str(user_id), f"Could not be looked into: {error}", False))
    return found


async def unfinished_runs(here: World) -> list[Found]:
    """Clear ended runs whose workspace had to stay, or was found again."""
    found = []
    for hold in await claim_untidied(here.database, here.worker):
        recorder = Recorder(here.database, hold)
        try:
            detail, mended = await _clear(here, recorder)
        except Superseded:
            continue
        except Exception as error:
            detail, mended = f"Its workspace could not be cleared: {error}", False
        found.append(Found("workspace", str(hold.id), detail, mended))
    return found


async def unknown_users(here: World) -> list[Found]:
    """Containers of users that are no more go at once, what they hold KEPT_DAYS after it was found."""
    boxes, folders = await here.sandbox.found(), here.settings.repos / "users"
    there = {*boxes, *await here.sandbox.holdings(), *await asyncio.to_thread(ids_in, folders)}
    needed = {run.user_id for run in await unsettled(here)}
    known = (await here.product.known()).users
    found = []
    for user_id in sorted(there - known - needed):
        if user_id in boxes:
            await _remove_box(here, user_id)
        day = await goes_on(here, "user", str(user_id))
        if day > now():
            detail = f"Nobody of this id has an account; what their sandbox holds is removed on {day:%d %B}."
            found.append(Found("user", str(user_id), detail, False))
        elif await here.containers.forget(user_id):
            await asyncio.to_thread(shutil.rmtree, folders / str(user_id), ignore_errors=True)
            found.append(Found("user", str(user_id), "What their sandbox held was removed.", True))
    return found


async def trials(here: World) -> list[Found]:
    """Boxes of checks that a killed worker left, and that nobody tried again."""
    gone = await here.sandbox.clear_trials()
    return [Found("trial", str(one), "The box of checks that broke off was removed.", True) for one in gone]


async def _clear(here: World, recorder: Recorder) -> tuple[str, bool]:
    run = await recorder.run()
    try:
        box = await lease(here, run, recorder)
        if await kept.clear(here, run, box, recorder, done=run.status == "done", wait=False):
            return "Its workspace was cleared.", True
        return "Its work can be neither pushed nor kept; the log says why.", False
    finally:
        await here.containers.release(run.id, run.user_id)


async def _remove_box(here: World, user_id: UUID) -> None:
    async with here.database.transaction() as session:
        await session.execute(delete(Container).where(col(Container.user_id) == user_id))
        await here.sandbox.remove(user_id)


async def _look_into(here: World, box: Box) -> list[Found]:
    """One user's workspaces. Names come out of a sandbox: only those that are a run's count."""
    listing = await here.sandbox.exec(box, ["sh", "-c", _LIST, "sh", str(box.repos)])
    names, _, spares = listing.stdout.decode(errors="replace").partition("//\n")
    ids = {UUID(match[1]) for name in names.splitlines() if (match := _WORKSPACE.fullmatch(name))}
    chosen = sorted(ids)[:NAMED]
    async with here.database.transaction() as session:
        rows = await session.scalars(select(Run).where(col(Run.id).in_(chosen)))
        runs = {run.id: run for run in rows if run.user_id == box.user_id}
        again = [run.id for run in runs.values() if run.tidied_at is not None]
        await session.execute(update(Run).where(col(Run.id).in_(again)).values(tidied_at=None))
    known = runs.keys() | await ahead.ids(here.database, box.user_id)
    found = [found for one in chosen if one not in known for found in await _unknown(here, box, one)]
    return found + await _spares(here, box, spares.splitlines())


async def _unknown(here: World, box: Box, run_id: UUID) -> list[Found]:
    day = await goes_on(here, "workspace", str(run_id))
    if day > now():
        detail = f"In the sandbox of {box.user_id}, of a run that nobody knows; removed on {day:%d %B}."
        return [Found("workspace", str(run_id), detail, False)]
    await _remove(here, box, [str(run_id), f".{run_id}"])
    return [Found("workspace", str(run_id), "The workspace of an unknown run was removed.", True)]


async def _spares(here: World, box: Box, names: Collection[str]) -> list[Found]:
    """Files that are kept for a project's next run, of projects that are deleted or the user's no more."""
    spares = {name: UUID(match[1]) for name in names if (match := _SPARE.fullmatch(name))}
    if not spares:
        return []
    known = await here.product.known()
    gone = [name for name, project_id in spares.items() if not known.may_use(box.user_id, project_id)]
    if gone:
        await _remove(here, box, [f".spares/{name}" for name in gone])
    return [
        Found("spare", name, "Files for the next run of a project that is gone were removed.", True)
        for name in gone
    ]


async def _remove(here: World, box: Box, names: Collection[str]) -> None:
    await here.sandbox.exec(box, ["sh", "-c", _REMOVE, "sh", str(box.repos), *names], timeout=300)
