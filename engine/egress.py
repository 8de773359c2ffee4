"""What each user lets their agents reach: told to the sandbox before they work, and whenever it changes."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from dbos import DBOS
from sqlalchemy import exists, or_, select
from sqlmodel import col

from engine.errors import RunError
from engine.models import Batch, Run
from engine.record import Entry, Recorder
from engine.signals import EGRESS
from engine.world import World, world

log = logging.getLogger(__name__)

MOST_TOLD = 10
AGAIN_SECONDS = 5.0


async def allow(here: World, user_id: UUID) -> None:
    """The user's choice as it is now holds for their sandbox and trials."""
    await here.sandbox.allow(user_id, await here.product.egress(user_id))


async def serve(here: World) -> None:
    """Until cancelled: a choice that changed holds at once, for agents at work too."""
    with here.signals.watch(EGRESS) as changed:
        while True:
            await changed.wait()
            changed.clear()
            if not await _told_all(here):
                await asyncio.sleep(AGAIN_SECONDS)
                changed.set()


async def _told_all(here: World) -> bool:
    """Whether every sandbox there is was told; one that fails keeps no other from it."""
    told = True
    try:
        policies = await here.product.egresses(list(await here.sandbox.found()))
    except Exception as error:
        log.warning("the network policies could not be read: %s", error)
        return False
    for user_id, policy in policies.items():
        try:
            await here.sandbox.allow(user_id, policy)
        except Exception as error:
            log.warning("the network policy of user %s could not be told: %s", user_id, error)
            told = False
    return told


@DBOS.workflow(name="refused_hosts")
async def refused_hosts(user_id: str) -> list[str]:
    """For the user alone."""
    return await refused_step(user_id)


@DBOS.step(name="refused")
async def refused_step(user_id: str) -> list[str]:
    refused = await world().sandbox.refused(UUID(user_id))
    return sorted(refused, key=lambda host: refused[host], reverse=True)


@asynccontextmanager
async def telling(here: World, run: Run, recorder: Recorder) -> AsyncIterator[None]:
    """While an agent works in here: what it was refused is in the run's log afterwards."""
    try:
        yield
    except RunError:
        with contextlib.suppress(Exception):  # the failure itself is what counts
            await _tell(here, run, recorder)
        raise
    await _tell(here, run, recorder)


async def _tell(here: World, run: Run, recorder: Recorder) -> None:
    since = (run.started_at or run.created_at).timestamp()
    refused = await here.sandbox.refused(run.user_id)
    hosts = [host for host, when in refused.items() if when >= since][-MOST_TOLD:]
    if not hosts:
        return
    if await _elsewhere(here, run):
        said = {
            "": "Network: hosts were refused to your agents meanwhile. See which under Settings, Network."
        }
    else:
        said = {
            host: f"Network: {host} was refused to your agents. Add it under Settings, Network."
            for host in hosts
        }
    await recorder.write(
        [Entry("status", f"network:{host}", message=text, level="warning") for host, text in said.items()]
    )


async def _elsewhere(here: World, run: Run) -> bool:
    """Whether this user's agents or checks were at work on another project beside this run.

    What was refused is known of a user alone, and those who see this project may not see that one.
    """
    since = run.started_at or run.created_at
    runs = exists().where(
        col(Run.user_id) == run.user_id,
        col(Run.project_id) != run.project_id,
        col(Run.started_at).is_not(None),
        or_(col(Run.ended_at).is_(None), col(Run.ended_at) >= since),
    )
    batches = exists().where(
        col(Batch.user_id) == run.user_id,
        col(Batch.project_id) != run.project_id,
        or_(col(Batch.ended_at).is_(None), col(Batch.ended_at) >= since),
    )
    async with here.database.transaction() as session:
        return bool(await session.scalar(select(or_(runs, batches))))
