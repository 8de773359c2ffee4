"""Repositories of projects that are no more, and what killed gits left in the others."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

from engine.errors import RunError
from engine.folders import ids_in
from engine.git.lock import locked
from engine.git.mirror import clear_stale

_KINDS = (".git", ".runs.git")
"""A project's mirror and its store; the lock of each is named like it, with `.lock` for the last part."""


def projects_in(repos: Path, demo_home: Path) -> set[UUID]:
    """Every project that has a repository, a part of one, or lent objects here."""
    found = set(ids_in(demo_home, ".git")) | set(ids_in(demo_home, ".lock"))
    for kind in _KINDS:
        for suffix in (kind, f"{kind}.new", kind.replace(".git", ".lock")):
            found |= set(ids_in(repos / "mirrors", suffix))
    return found | {project_id for _, project_id in lent(repos)}


def lent(repos: Path) -> set[tuple[UUID, UUID]]:
    """(user, project) of all objects that are lent to a user's sandbox."""
    users = ids_in(repos / "users")
    return {(user, project) for user in users for project in ids_in(repos / "users" / str(user) / "objects")}


def lent_objects(repos: Path, user_id: UUID, project_id: UUID) -> Path:
    return repos / "users" / str(user_id) / "objects" / str(project_id)


async def remove_project(repos: Path, demo_home: Path, project_id: UUID) -> bool:
    """Remove all of the project's repositories. False where one is in use. Repeatable."""
    places = [repos / "mirrors" / f"{project_id}{kind}" for kind in _KINDS]
    for place in (*places, demo_home / f"{project_id}.git"):
        async with _at_once(place.with_suffix(".lock")) as ours:
            if not ours:
                return False
            await asyncio.to_thread(_remove, place)
    for user_id in await asyncio.to_thread(ids_in, repos / "users"):
        path = lent_objects(repos, user_id, project_id)
        await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)
    return True


async def clear_locks(repos: Path, project_id: UUID) -> int:
    """Remove what killed gits left in the mirror and the store: how many files. One in use is passed over."""
    count = 0
    for kind in _KINDS:
        place = repos / "mirrors" / f"{project_id}{kind}"
        if await asyncio.to_thread(place.is_dir):
            async with _at_once(place.with_suffix(".lock")) as ours:
                count += await asyncio.to_thread(clear_stale, place) if ours else 0
    return count


@asynccontextmanager
async def _at_once(lock: Path) -> AsyncIterator[bool]:
    """The lock, if nobody has it now. Where its folder is missing there is nothing to guard."""
    if not await asyncio.to_thread(lock.parent.is_dir):
        yield True
        return
    try:
        async with locked(lock, timeout=0.1):
            yield True
    except RunError as error:
        if error.kind != "timeout":
            raise
        yield False


def _remove(place: Path) -> None:
    """The repository, what was begun of one, and last its lock, which the caller holds."""
    for path in (place, place.with_name(f"{place.name}.new"), place.with_suffix(".building")):
        shutil.rmtree(path, ignore_errors=True)
    place.with_suffix(".lock").unlink(missing_ok=True)
