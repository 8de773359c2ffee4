"""What takes space on this machine, by what it is and whose."""

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from uuid import UUID

from dbos import DBOS
from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from engine import janitor
from engine.errors import RunError
from engine.folders import bytes_in, ids_in, names_in
from engine.git.demo import demo_home
from engine.git.removal import projects_in
from engine.models import KeptWork, StorageReport, now
from engine.settings import EngineSettings
from engine.storage import DISK, DiskPart
from engine.world import World, world


@DBOS.workflow(name="measure_disk")
async def measure_disk() -> None:
    await measure_step()


@DBOS.step(name="measure")
async def measure_step() -> None:
    await measure(world())


@DBOS.workflow(name="clean_up")
async def clean_up() -> None:
    """The janitor's round, now, and what takes space after it."""
    await clean_step()
    await measure_step()


@DBOS.step(name="sweep")
async def clean_step() -> None:
    await janitor.sweep(world())


async def measure(here: World) -> list[DiskPart]:
    """Count it all and keep the answer for those who ask. What cannot be counted is left out."""
    settings = here.settings
    parts = [*await asyncio.to_thread(lambda: list(_folders(settings))), *await _kept(here)]
    try:
        held = await here.sandbox.holdings()
        parts += [DiskPart("sandbox", str(user_id), size) for user_id, size in held.items()]
        parts.append(DiskPart("image", "", await here.sandbox.image_bytes()))
    except RunError as error:
        janitor.log.warning("what sandboxes hold could not be measured: %s", error)
    async with here.database.transaction() as session:
        size = await session.scalar(text("SELECT pg_database_size(current_database())"))
        parts.append(DiskPart("database", "", int(size or 0)))
        disk = await asyncio.to_thread(shutil.disk_usage, settings.openlinear_home)
        value = {"parts": [asdict(part) for part in parts], "free": disk.free, "total": disk.total}
        query = insert(StorageReport).values(name=DISK, made_at=now(), value=value)
        await session.execute(
            query.on_conflict_do_update(index_elements=["name"], set_={"made_at": now(), "value": value})
        )
    return parts


def _folders(settings: EngineSettings) -> Iterator[DiskPart]:
    """Repositories by project (what is lent is a second name of the same files) and logs."""
    repos, home = settings.repos, demo_home(settings)
    counted: set[tuple[int, int]] = set()
    users = names_in(repos / "users")
    for project_id in sorted(projects_in(repos, home)):
        places = [
            *(repos / "mirrors" / f"{project_id}{kind}" for kind in (".git", ".runs.git")),
            *(repos / "users" / user / "objects" / str(project_id) for user in users),
            home / f"{project_id}.git",
        ]
        yield DiskPart("repository", str(project_id), sum(bytes_in(place, counted) for place in places))
    yield DiskPart("logs", "", bytes_in(settings.openlinear_home / "logs"))


async def _kept(here: World) -> list[DiskPart]:
    folder = here.settings.kept
    on_disk = await asyncio.to_thread(lambda: {run: bytes_in(folder / str(run)) for run in ids_in(folder)})
    owners = await _owners(here, list(on_disk))
    return [DiskPart("kept", str(run_id), size, owners.get(run_id)) for run_id, size in on_disk.items()]


async def _owners(here: World, run_ids: list[UUID]) -> dict[UUID, str]:
    async with here.database.transaction() as session:
        query = select(col(KeptWork.run_id), col(KeptWork.user_id)).where(col(KeptWork.run_id).in_(run_ids))
        return {run_id: str(user_id) for run_id, user_id in await session.execute(query)}
