"""Conflict radar: which tasks would conflict, told while their agents are still at work.

One worker at a time looks, now and then, at the workspaces of every user who has several runs of a project
under way, and writes what would clash to both runs. That is a hint and nothing else depends on it, so it
needs no hold on the runs.
"""

import asyncio
import logging
from collections.abc import Sequence
from itertools import groupby
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from engine.errors import RunError
from engine.git.mirror import Mirror
from engine.git.radar import Live, Overlap, overlaps
from engine.git.store import Store
from engine.locks import alone
from engine.models import ENDED, Member, Run
from engine.record import Entry, append
from engine.world import World

log = logging.getLogger(__name__)

FILES_SHOWN = 20
Clashes = list[dict[str, Any]]


async def serve(here: World) -> None:
    """Look every `RADAR_SECONDS`, until cancelled."""
    while True:
        await asyncio.sleep(here.settings.radar_seconds)
        try:
            async with alone(here.database.libpq_url, "radar", wait=False) as ours:
                if ours:
                    await look(here)
        except Exception as error:
            log.warning("no look for conflicts: %s", str(error) or type(error).__name__)


async def look(here: World) -> None:
    """Compare all that is under way, once."""
    for runs in await _together(here):
        try:
            found = await _overlaps(here, runs)
        except RunError as error:
            log.info("the workspaces of user %s could not be compared: %s", runs[0].user_id, error)
            continue
        if found is not None:
            found = await _between(here, runs, found)
            for run in runs:
                await _write(here, run.id, _clashes(run.id, runs, found))


async def _together(here: World) -> list[list[Run]]:
    """Open runs with a workspace that somebody works in, by user and project, where there are several.

    Those that have handed in their work count: it is what the others will meet.
    """
    async with here.database.transaction() as session:
        handed_in = select(col(Member.run_id)).where(col(Member.handed_in_at).is_not(None))
        at_work = col(Run.takes_slot) | col(Run.id).in_(handed_in)
        query = select(Run).where(col(Run.ended_at).is_(None), col(Run.session_id).is_not(None), at_work)
        runs = list(await session.scalars(query.order_by(col(Run.user_id), col(Run.project_id), col(Run.id))))
    groups = [list(group) for _, group in groupby(runs, key=lambda run: (run.user_id, run.project_id))]
    return [group for group in groups if len(group) > 1 and any(run.takes_slot for run in group)]


async def _overlaps(here: World, runs: Sequence[Run]) -> list[Overlap] | None:
    """None where their sandbox is in nobody's hands just now, or busy with something else."""
    first = runs[0]
    lives = [Live(run.id, run.base_sha) for run in runs if run.base_sha is not None]
    async with here.containers.borrow(first.user_id) as box:
        if box is None:
            return None
    return await overlaps(here.sandbox, box, project_id=first.project_id, lives=lives)


async def _between(here: World, runs: Sequence[Run], found: Sequence[Overlap]) -> list[Overlap]:
    """Those of runs of which none began with the other's work: that fits, whatever both have changed."""
    by_id, store = {run.id: run for run in runs}, Store(Mirror(here.settings.repos, runs[0].project_id))

    async def stands_on(one: Run, other: Run) -> bool:
        if one.start_sha is None or other.head_sha is None:
            return False
        return await store.contains(one.start_sha, other.head_sha)

    return [
        one
        for one in found
        if not await stands_on(by_id[one.a], by_id[one.b]) and not await stands_on(by_id[one.b], by_id[one.a])
    ]


def _clashes(run_id: UUID, runs: Sequence[Run], found: Sequence[Overlap]) -> Clashes:
    by_id = {run.id: run for run in runs}
    return [
        {"taskId": str(other.task_id), "reference": other.reference, "files": list(one.files[:FILES_SHOWN])}
        for one in found
        if run_id in (one.a, one.b)
        for other in [by_id[one.b if one.a == run_id else one.a]]
    ]


async def _write(here: World, run_id: UUID, clashes: Clashes) -> None:
    """What the run would clash with now, and a line in its log when that is news."""
    async with here.database.transaction() as session:
        run = await session.get_one(Run, run_id, with_for_update=True)
        if run.status in ENDED or run.clashes == clashes:
            return
        run.clashes = clashes
        await session.flush()
        await append(session, run, [_entry(run, clashes)])


def _entry(run: Run, clashes: Clashes) -> Entry:
    """Named by the count of the run's events: what comes and goes is told each time."""
    names = ", ".join(f"{one['reference']} in {', '.join(one['files'][:3])}" for one in clashes)
    message = f"Would conflict with {names}" if clashes else "Conflicts with no other task any more"
    level = "warning" if clashes else "info"
    return Entry("status", f"clashes:{run.last_seq + 1}", message=message, level=level)
