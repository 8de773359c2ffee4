"""Compares what the database, Docker and the disk say, and mends or reports.

At each worker's start and every hour, by one worker at a time. What is found is looked at before it is
asked for: a thing is listed first and the row it belongs to is read after, so that whatever appears
meanwhile is never taken for a left-over. What belongs to a run that has not ended is not touched.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection

from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from engine import janitor_files, janitor_sandboxes, retention
from engine.findings import Found
from engine.locks import alone
from engine.models import Finding, StorageReport, now
from engine.world import World

log = logging.getLogger(__name__)

Check = Callable[[World], Awaitable[Collection[Found]]]

CHECKS: tuple[Check, ...] = (
    janitor_sandboxes.leases,
    janitor_sandboxes.workspaces,
    janitor_sandboxes.unfinished_runs,
    janitor_sandboxes.unknown_users,
    janitor_sandboxes.trials,
    janitor_files.half_taken,
    janitor_files.unknown_projects,
    janitor_files.lent_to_others,
    janitor_files.stale_locks,
    janitor_files.unfinished_kept,
    janitor_files.temporary,
    retention.adopt,
    retention.expire,
)
MENDED_DAYS = 7
LOCK = "janitor"


async def serve(here: World) -> None:
    """A round now and each JANITOR_INTERVAL_SECONDS, until cancelled."""
    while True:
        await here.containers.unless_parked()
        try:
            await sweep(here)
        except Exception as error:  # the database may be away; the next round makes up for it
            log.warning("the janitor's round broke off: %s", error)
        await asyncio.sleep(here.settings.janitor_interval_seconds)


async def sweep(here: World) -> list[Found] | None:
    """One round: what was found. None when another worker is at it."""
    async with alone(here.database.libpq_url, LOCK, wait=False) as ours:
        if not ours:
            return None
        found: list[Found] = []
        for check in CHECKS:
            try:
                found += await check(here)
            except Exception as error:  # one thing that cannot be looked at hides no other
                log.warning("the janitor could not look after %s: %s", check.__name__, error)
                found.append(Found("janitor", check.__name__, f"Could not be looked at: {error}", False))
        await _record(here, found)
        return found


async def _record(here: World, found: Collection[Found]) -> None:
    """Log it, and replace what earlier rounds had to report. What was mended is told for a week."""
    for one in found:
        level = logging.INFO if one.mended else logging.WARNING
        log.log(level, "janitor: %s %s: %s", one.kind, one.subject, one.detail)
    moment = now()
    async with here.database.transaction() as session:
        for one in found:
            values = {"detail": one.detail, "mended": one.mended, "found_at": moment}
            new = {"kind": one.kind, "subject": one.subject, "first_found_at": moment}
            query = insert(Finding).values(**new, **values)
            await session.execute(
                query.on_conflict_do_update(index_elements=["kind", "subject"], set_=values)
            )
        old = col(Finding.found_at) < moment - retention.days(MENDED_DAYS)
        over = col(Finding.mended).is_(False) & (col(Finding.found_at) < moment)
        await session.execute(delete(Finding).where(over | old))
        told = {"found": len(found), "mended": sum(one.mended for one in found)}
        query = insert(StorageReport).values(name="janitor", made_at=moment, value=told)
        await session.execute(
            query.on_conflict_do_update(index_elements=["name"], set_={"made_at": moment, "value": told})
        )
