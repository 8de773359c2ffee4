"""The folder of a user's next run, opened while they read what the last one did.

To open a folder takes the agent a second (`engine.agents.opencode_warm`): most of what a person waits for
who presses Execute. So the next run's id is chosen when the last one is over, and its folder opened there
and then; only where no other run is at work in that sandbox, whose agent could write into it.

All of it is a help: a run whose folder is not there, or was opened with other keys, has it opened as ever.
"""

import asyncio
import logging
from uuid import UUID, uuid4

from sqlalchemy import exists, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from engine.db import Database
from engine.git import workspace
from engine.models import Container, Lease, NextRun, Run
from engine.world import World

log = logging.getLogger(__name__)

_BRANCH = "next"
"""Until a run takes the folder, and its branch is known."""
_under_way = set[asyncio.Task[None]]()


async def ids(database: Database, user_id: UUID) -> set[UUID]:
    """Whose folders are there without a run."""
    async with database.transaction() as session:
        query = select(col(NextRun.run_id)).where(col(NextRun.user_id) == user_id)
        return set(await session.scalars(query))


def soon(here: World, after: Run) -> None:
    """Open it beside whatever comes next. Nobody waits for it."""
    task = asyncio.create_task(_quietly(here, after))
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)


async def _quietly(here: World, after: Run) -> None:
    try:
        await _open(here, after)
    except Exception as error:
        log.info("no folder was opened ahead for user %s: %s", after.user_id, error)


async def _open(here: World, after: Run) -> None:
    user_id, agent = after.user_id, here.agents[after.agent]
    async with here.containers.borrow(user_id) as box:
        if box is None or (run_id := await _chosen(here, user_id)) is None:
            return
        await workspace.begin(here.sandbox, box, run_id, branch=_BRANCH)
        async with here.database.transaction() as session:
            chosen = update(NextRun).where(col(NextRun.user_id) == user_id, col(NextRun.run_id) == run_id)
            await session.execute(chosen.values(ready=True))
        # A run that takes it now waits here for its sandbox, no longer than it would for opening it.
        folder = workspace.folder(box, run_id)
        await agent.prepare(box, folder, list(await here.product.provider_keys(user_id)), demo=False)
        await agent.warm(box, folder)


async def _chosen(here: World, user_id: UUID) -> UUID | None:
    """The id, written down before its folder is made, so that a folder without a run is nobody's riddle. None
    where one is ready, a run is at work in the sandbox, or it is to go.
    """
    async with here.database.transaction() as session:
        at_work = exists().where(col(Lease.user_id) == user_id)
        spent = exists().where(col(Container.user_id) == user_id, col(Container.spent))
        if await session.scalar(select(at_work | spent)):
            return None
        row = insert(NextRun).values(user_id=user_id, run_id=uuid4(), ready=False)
        await session.execute(row.on_conflict_do_nothing())
        chosen = select(col(NextRun.run_id)).where(
            col(NextRun.user_id) == user_id, col(NextRun.ready).is_(False)
        )
        found: UUID | None = await session.scalar(chosen)
        return found
