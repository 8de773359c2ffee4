"""What is left over on this machine's disk: repositories, half-taken packs, locks, unfinished folders."""

import asyncio
import shutil
import time
from pathlib import Path
from uuid import UUID

from engine.findings import Found, busy, unsettled
from engine.folders import ids_in, names_in
from engine.git.demo import demo_home
from engine.git.removal import clear_locks, lent, lent_objects, projects_in, remove_project
from engine.kept import lock_name
from engine.locks import alone
from engine.world import World

DAY = 24 * 3600.0


async def half_taken(here: World) -> list[Found]:
    """Packs on their way from a sandbox into a store, of runs that are over."""
    repos = here.settings.repos
    folders = [repos / "incoming", *await asyncio.to_thread(_quarantines, repos)]
    return await _remove_of_runs(here, "pack", [(folder, "") for folder in folders])


async def unfinished_kept(here: World) -> list[Found]:
    """Folders of kept work that a worker which died had begun, or begun to remove."""
    return await _remove_of_runs(
        here, "kept", [(here.settings.kept, ".new"), (here.settings.kept, ".gone")], prefix="."
    )


async def temporary(here: World) -> list[Found]:
    """What a start, an installation or checks that broke off left in OPENLINEAR_HOME, a day ago or longer."""
    gone = await asyncio.to_thread(_remove_temporary, here.settings.openlinear_home)
    return [Found("temporary", name, "A temporary file was left behind.", True) for name in gone]


async def unknown_projects(here: World) -> list[Found]:
    """Mirrors, stores and lent objects of projects that are deleted."""
    settings, home = here.settings, demo_home(here.settings)
    there = await asyncio.to_thread(projects_in, settings.repos, home)
    needed = {run.project_id for run in await unsettled(here)}
    known = (await here.product.known()).projects
    found = []
    for project_id in sorted(there - known - needed):
        if await remove_project(settings.repos, home, project_id):
            found.append(Found("project", str(project_id), "Its repositories were removed with it.", True))
    return found


async def lent_to_others(here: World) -> list[Found]:
    """Objects that lie in the sandbox of somebody who may no longer use their project. None is lost: whoever
    may again is lent them by the next run.
    """
    there = await asyncio.to_thread(lent, here.settings.repos)
    needed = {(run.user_id, run.project_id) for run in await unsettled(here)}
    known = await here.product.known()
    found = []
    for user_id, project_id in sorted(there - needed):
        if project_id in known.projects and not known.may_use(user_id, project_id):
            path = lent_objects(here.settings.repos, user_id, project_id)
            await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)
            detail = f"What was lent of it to {user_id}, who may not use it any more, was removed."
            found.append(Found("lent", str(project_id), detail, True))
    return found


async def stale_locks(here: World) -> list[Found]:
    """What killed gits left in repositories that nobody works in now."""
    repos = here.settings.repos
    found = []
    for project_id in await asyncio.to_thread(ids_in, repos / "mirrors", ".git"):
        if count := await clear_locks(repos, project_id):
            found.append(Found("lock", str(project_id), f"{count} files of killed gits were removed.", True))
    return found


async def _remove_of_runs(
    here: World, kind: str, places: list[tuple[Path, str]], prefix: str = ""
) -> list[Found]:
    """Remove what is named by a run that is over, in each (folder, suffix). Listed first, asked for after."""
    listed = [
        (run_id, folder / f"{prefix}{run_id}{suffix}")
        for folder, suffix in places
        for run_id in await asyncio.to_thread(ids_in, folder, suffix, prefix)
    ]
    needed = await busy(here, {run_id for run_id, _ in listed})
    found = []
    for run_id, path in listed:
        if run_id not in needed and await _remove(here, run_id, path):
            found.append(Found(kind, str(run_id), f"{path.parent.name}/{path.name} was left behind.", True))
    return found


async def _remove(here: World, run_id: UUID, path: Path) -> bool:
    async with alone(here.database.libpq_url, lock_name(run_id), wait=False) as ours:
        if ours:
            await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)
        return ours


def _remove_temporary(home: Path) -> list[str]:
    removed = []
    for path in [*home.glob(".sandbox.*"), *home.glob("opencode/.install-*"), *home.glob("checks/*")]:
        if path.lstat().st_mtime < time.time() - DAY:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
            removed.append(path.name)
    return removed


def _quarantines(repos: Path) -> list[Path]:
    stores = [name for name in names_in(repos / "mirrors") if name.endswith(".runs.git")]
    return [repos / "mirrors" / name / "quarantine" for name in stores]
