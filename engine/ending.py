"""How a run ends: stop what still works for it, record the end, then clear up after it.

In this order, so that a cancelled run is over within seconds however long the cleaning takes. Each
part may be repeated, by this worker or another: a run is `cleared` when nothing is left to repeat.
"""

import asyncio
import logging

from sqlalchemy import func

from engine import ahead, kept
from engine.changes import collect_changes, discard_incoming, known
from engine.errors import RunError
from engine.models import ENDED, Run, now
from engine.observe import run_ended
from engine.ports import Box, Session
from engine.record import Entry, Recorder, append
from engine.step import CANCELLED, End
from engine.world import World

log = logging.getLogger(__name__)

STOP_SECONDS = 2.0
"""All that a sandbox which does not answer may cost: a cancelled run is over within five seconds."""
SALVAGE_SECONDS = 60.0
TIDY_SECONDS = 60.0


async def conclude(here: World, recorder: Recorder, end: End) -> None:
    """All of it, without checkpoints: for a run whose workflow does not end it."""
    await stop(here, recorder)
    await finish(here, recorder, end)
    await clear(here, recorder)


async def stop(here: World, recorder: Recorder) -> None:
    """Make the agent stop and kill what it started. A sandbox that does not answer is left to `clear`."""
    run = await recorder.run()
    if run.ended_at is not None or not await here.containers.leased(run.id):
        return
    try:
        async with asyncio.timeout(STOP_SECONDS):
            box = await lease(here, run, recorder)
            if run.session_id is not None:
                await here.agents[run.agent].abort(box, session_of(run, box))
            await here.sandbox.stop_run(box, run.id)
    except Exception as error:
        log.warning(
            "run %s: its agent could not be stopped yet: %s", run.id, str(error) or type(error).__name__
        )


async def salvage(here: World, recorder: Recorder) -> None:
    """What an unfinished run has done so far is kept in the store, and shown as its diff."""
    run = await recorder.run()
    if run.session_id is None or run.head_sha is not None:
        return
    try:
        async with asyncio.timeout(SALVAGE_SECONDS):
            await collect_changes(here, run, await lease(here, run, recorder), recorder)
    except Exception as error:  # the run has ended already; its reason must not be hidden by this
        log.warning("run %s: its unfinished work could not be kept: %s", run.id, error)
        await recorder.postscript("The unfinished work could not be kept", part="salvage", level="warning")


async def finish(here: World, recorder: Recorder, end: End) -> None:
    """Record the end and tell the product, in one transaction. A run that has ended stays as it is."""
    async with recorder.transaction() as (session, run):
        if run.status in ENDED:
            return
        if run.cancel_requested_at is not None and end["status"] == "failed":
            end = CANCELLED  # being stopped is what made it fail
        run.status, run.outcome = end["status"], end["outcome"]
        run.error, run.error_kind = end["reason"], end["kind"]
        run.ended_at = now()
        run.message = ""
        run.progress = 100 if end["status"] == "done" else run.progress
        await session.flush()
        await here.product.ended(session, run.id)
        level = "error" if end["status"] == "failed" else "info"
        await append(session, run, [Entry("status", "ended", message=_farewell(run), level=level)])
    run_ended(run)


async def clear(here: World, recorder: Recorder) -> None:
    """Leave nothing of an ended run behind but what is worth keeping. What stays is said, not fatal."""
    run = await recorder.run()
    if run.cleared_at is not None:
        return
    if run.status != "done":
        await salvage(here, recorder)
        await here.containers.spend(run.user_id)
    try:
        if await here.containers.leased(run.id) or _has_workspace(run):
            async with asyncio.timeout(TIDY_SECONDS):
                await _tidy(here, run, recorder)
    except Exception as error:
        log.warning(
            "run %s: its workspace could not be removed: %s", run.id, str(error) or type(error).__name__
        )
        await recorder.postscript("The workspace could not be removed", part="tidy", level="warning")
    await discard_incoming(here.settings.repos, run.id)
    await here.containers.release(run.id, run.user_id)
    if run.status != "done":
        await _retire(here, run)
    async with recorder.transaction() as (_, run):
        run.cleared_at = func.clock_timestamp()  # type: ignore[assignment]
    if run.status == "done" and not run.model.startswith("demo/"):
        ahead.soon(here, run)


async def _tidy(here: World, run: Run, recorder: Recorder) -> None:
    """Kill what is left, keep what is not pushed, then remove the workspace."""
    box = await lease(here, run, recorder)
    await here.sandbox.stop_run(box, run.id)
    await here.agents[run.agent].close(box, box.repos / str(run.id))
    if not await kept.clear(here, run, box, recorder, done=run.status == "done"):
        raise RunError("its work is neither pushed nor kept; the janitor tries again", "internal")


def _has_workspace(run: Run) -> bool:
    """In a batch, a run gives its sandbox back when it hands in its work, and its workspace stays."""
    return run.base_sha is not None and run.tidied_at is None


async def _retire(here: World, run: Run) -> None:
    try:
        await here.containers.retire(run.user_id)
    except Exception as error:  # the next sweep tries again
        log.warning("the sandbox of user %s could not be put to rest: %s", run.user_id, error)


async def lease(here: World, run: Run, recorder: Recorder) -> Box:
    """The run's sandbox, awake; what that takes is told on its card."""

    async def report(line: str) -> None:
        await recorder.note(line, part=f"sandbox:{line}")

    return await here.containers.lease(recorder, run.user_id, report)


def session_of(run: Run, box: Box) -> Session:
    """The agent's session that an earlier step opened."""
    return Session(known(run.session_id), box.repos / str(run.id))


def _farewell(run: Run) -> str:
    match run.status, run.outcome:
        case "done", "no_changes":
            return "Done: the agent made no changes"
        case "done", "pushed":
            return f"Done: pushed to {run.branch}"
        case "done", _:
            return f"Done: pull request #{run.pr_number}"
        case "failed", _:
            return run.error or "Failed"
        case _:
            return "Cancelled"
