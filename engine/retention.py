"""How long kept work stays: KEPT_DAYS, or less where all of it is over KEPT_MAX_GB, the oldest first."""

import asyncio
import shutil
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, select
from sqlmodel import col

from engine.findings import Found
from engine.folders import ids_in
from engine.kept import adopted, folder, lock_name
from engine.locks import alone
from engine.models import KeptWork, Run, now
from engine.world import World

GIGABYTE = 1 << 30


def days(number: float) -> timedelta:
    return timedelta(days=number)


async def adopt(here: World) -> list[Found]:
    """Give folders without a row one, and report rows without a folder."""
    on_disk = set(await asyncio.to_thread(ids_in, here.settings.kept))
    async with here.database.transaction() as session:
        rows = set(await session.scalars(select(col(KeptWork.run_id))))
    found = []
    for run_id in sorted(on_disk - rows):
        if not await adopted(here, run_id):
            found.append(Found("kept", str(run_id), "Its note cannot be read; look into its folder.", False))
            continue
        found.append(Found("kept", str(run_id), "Kept work was without a row; it has one now.", True))
    for run_id in sorted(rows - on_disk):
        if not await asyncio.to_thread(folder(here.settings, run_id).exists):
            found.append(Found("kept", str(run_id), "The kept work is not on this disk.", False))
    return found


async def expire(here: World) -> list[Found]:
    """Remove what is past its day, then the oldest of what is too much."""
    settings = here.settings
    async with here.database.transaction() as session:
        rows = list(await session.scalars(select(KeptWork).order_by(col(KeptWork.created_at))))
        restoring = set(await session.scalars(select(col(Run.restores)).where(col(Run.ended_at).is_(None))))
    found, moment = [], now()
    total, most = sum(_size(row) for row in rows), int(settings.kept_max_gb * GIGABYTE)
    for row in rows:
        over = total > most and row.created_at < moment - days(settings.kept_min_days)
        if (row.expires_at > moment and not over) or row.run_id in restoring:
            continue
        why = "its time is over" if row.expires_at <= moment else f"over {settings.kept_max_gb:g} GB are kept"
        if await _remove(here, row.run_id):
            total -= _size(row)
            found.append(Found("expired", str(row.run_id), f'"{row.title}" was removed: {why}.', True))
    if total > most:
        detail = (
            f"{total / GIGABYTE:.1f} GB are kept, over KEPT_MAX_GB, and none of it is older than "
            f"{settings.kept_min_days:g} days."
        )
        found.append(Found("kept", "size", detail, False))
    return found


async def _remove(here: World, run_id: UUID) -> bool:
    """The folder, then its row: where one goes alone, the next round takes the other."""
    async with alone(here.database.libpq_url, lock_name(run_id), wait=False) as ours:
        if not ours:
            return False
        place = folder(here.settings, run_id)
        doomed = place.with_name(f".{run_id}.gone")
        if await asyncio.to_thread(place.exists):
            await asyncio.to_thread(place.rename, doomed)
        await _forget(here, run_id)
        await asyncio.to_thread(shutil.rmtree, doomed, ignore_errors=True)
        return True


async def _forget(here: World, run_id: UUID) -> None:
    async with here.database.transaction() as session:
        await session.execute(delete(KeptWork).where(col(KeptWork.run_id) == run_id))
        await here.product.kept(session, run_id)


def _size(row: KeptWork) -> int:
    return row.bundle_bytes + row.files_bytes
