"""What each user lets their agents reach: told to the sandbox before they work, and whenever it changes."""

import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from engine.errors import RunError
from engine.models import Run
from engine.record import Entry, Recorder
from engine.signals import EGRESS
from engine.world import World

log = logging.getLogger(__name__)

MOST_TOLD = 10


async def allow(here: World, user_id: UUID) -> None:
    """The user's choice as it is now holds for their sandbox and trials."""
    await here.sandbox.allow(user_id, await here.product.egress(user_id))


async def serve(here: World) -> None:
    """Until cancelled: a choice that changed holds at once, for agents at work too."""
    with here.signals.watch(EGRESS) as changed:
        while True:
            await changed.wait()
            changed.clear()
            try:
                for user_id in await here.sandbox.found():
                    await allow(here, user_id)
            except Exception as error:  # each run tells it again
                log.warning("the network policies could not be told: %s", error)


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
    since = run.started_at.timestamp() if run.started_at else 0.0
    refused = await here.sandbox.refused(run.user_id)
    hosts = [host for host, when in refused.items() if when >= since][-MOST_TOLD:]
    await recorder.write(
        [
            Entry(
                "status",
                f"network:{host}",
                message=f"Network: {host} was refused to your agents. Add it under Settings, Network.",
                level="warning",
            )
            for host in hosts
        ]
    )
