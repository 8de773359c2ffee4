"""What the janitor meets, and what it may take for a left-over."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from engine.models import Finding, Run, now
from engine.world import World


@dataclass(frozen=True, slots=True)
class Found:
    """`subject` is an id or a path; `mended` False asks somebody to look."""

    kind: str
    subject: str
    detail: str
    mended: bool


async def busy(here: World, run_ids: Collection[UUID]) -> set[UUID]:
    """Those of these runs that have not ended, or are being cleared up after by their worker."""
    if not run_ids:
        return set()
    async with here.database.transaction() as session:
        query = select(col(Run.id)).where(col(Run.id).in_(run_ids), col(Run.cleared_at).is_(None))
        return set(await session.scalars(query))


async def unsettled(here: World) -> list[Run]:
    """Runs that are open, or whose work is still in their workspace alone."""
    stays = col(Run.tidied_at).is_(None) & col(Run.base_sha).is_not(None)
    async with here.database.transaction() as session:
        return list(await session.scalars(select(Run).where(col(Run.cleared_at).is_(None) | stays)))


async def goes_on(here: World, kind: str, subject: str) -> datetime:
    """When a thing that nobody knows may be removed: KEPT_DAYS after it was first found."""
    async with here.database.transaction() as session:
        row = await session.get(Finding, (kind, subject))
    first = row.first_found_at if row else now()
    return first + timedelta(days=here.settings.kept_days)
