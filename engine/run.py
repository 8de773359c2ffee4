"""The life of a run, top to bottom: prepare → converse → collect → publish → propose, then its end.

Each step is checkpointed by DBOS and may be repeated: after a crash the workflow carries on from the
step that was under way. So a step reads the run's row, does what is not done yet, and writes what it
found to the row; commit dates, session titles and message ids derive from the row. What a step
returns is small JSON: None to go on, or how the run ends.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any
from uuid import UUID

from dbos import DBOS

from engine import egress, ending, space
from engine.accounts import keeping_accounts
from engine.batches import tasks
from engine.batches.tasks import HANDED_IN
from engine.changes import collect_changes, free_branch, known
from engine.ending import lease
from engine.errors import RunError
from engine.git import workspace
from engine.git.mirror import Mirror
from engine.git.publish import push
from engine.git.store import Store
from engine.kept import put_back, start_of
from engine.limits import Limits
from engine.models import Run, now
from engine.observe import observed
from engine.ownership import Hold, Superseded, claim
from engine.ports import Box
from engine.pull_request import body
from engine.record import Entry, Recorder, append
from engine.remotes import remote_of
from engine.retries import attempts, wait_before
from engine.session import converse as follow_session
from engine.session import open_session, prepare_agent
from engine.signals import BATCHES
from engine.step import PATIENTLY, End, insisting, internal, step, success
from engine.world import World, world

log = logging.getLogger(__name__)

Take = Callable[[Hold], Coroutine[Any, Any, End | None]]


@DBOS.workflow(name="run", max_recovery_attempts=None)
async def run_workflow(run_id: str) -> str:
    """Carry a run to its end, from wherever an earlier worker left it."""
    here, workflow = world(), str(DBOS.workflow_id)
    try:
        hold = await insisting(lambda: claim(here.database, UUID(run_id), here.worker, workflow))
        if hold is None:
            return "ended"
        return await carry(hold, mending=workflow != run_id)
    except Superseded:
        log.info("run %s: another worker carries it on", run_id)
        return "superseded"


async def carry(hold: Hold, *, mending: bool = False) -> str:
    """Every step of the run, and its end; how it ended. In a batch it ends by handing its work in.

    `mending` is a second turn: its batch sent it back for a conflict.
    """
    end = await _walk(hold, MENDING if mending else LINE)
    if mending and end["status"] == "failed":
        await stop(hold)
        await give_up_mending(hold, end)
        end = HANDED_IN
    if end == HANDED_IN:
        return "handed in"
    await stop(hold)
    if end["status"] == "failed":
        await salvage(hold)
    await finish(hold, end)
    world().signals.wake(BATCHES)
    await clear(hold)
    return end["status"]


async def _walk(hold: Hold, line: Sequence[Take]) -> End:
    """From the repository to the pull request, or to what stopped it."""
    try:
        end = await _take(hold, line)
        return await _save(hold, end) if end["kind"] == "budget" and line is LINE else end
    except Exception:  # whatever it was, a run that began has an end
        log.exception("run %s broke", hold.id)
        return internal("run")


async def _take(hold: Hold, steps: Sequence[Take]) -> End:
    """Step by step; one whose failure may pass is tried again (see `engine.retries`)."""
    attempt, failures = 1, Counter[str | None]()
    for take in steps:
        while (end := await take(hold)) is not None:
            if end["status"] != "failed":
                return end
            if take is converse:  # it may hang rather than be dead
                await stop(hold)
            attempt += 1
            failures[end["kind"]] += 1
            wait = await retry(hold, take.__name__, end, attempt, failures[end["kind"]])
            if wait is None:
                return end
            await DBOS.sleep_async(wait)
    return success("pushed")


async def _save(hold: Hold, end: End) -> End:
    """A run that has used up what it may cost: what it did so far goes to its branch."""
    await stop(hold)
    saved = await _take(hold, (collect, publish))
    if saved["outcome"] == "pushed":
        return {**end, "reason": f"{end['reason']} What it did so far is on its branch."}
    return end


# -- steps --------------------------------------------------------------------------------------


@step
async def prepare(here: World, run: Run, recorder: Recorder) -> End | None:
    """Refresh the mirror with the user's credential, wake their sandbox, lay out the workspace."""
    if run.session_id is not None:  # the agent is at work in there: only the checkpoint was lost
        return None
    await recorder.note(
        "Fetching the repository",
        part="cloning",
        status="cloning",
        progress=5,
        started_at=run.started_at or now(),
        sandbox=here.sandbox.name,
    )
    begun = asyncio.ensure_future(_begin(here, run, recorder))
    await _together(begun, _fill(here, run, recorder, begun), _warm(here, run, begun))
    return None


@step
async def converse(here: World, run: Run, recorder: Recorder) -> End | None:
    """Prompt the agent, unless that was done before, and follow it to the end of its turn."""
    await tasks.turn(here, run, recorder)
    run = await recorder.run()
    agent = here.agents[run.agent]
    await egress.allow(here, run.user_id)
    box = await lease(here, run, recorder)
    keys = list(await here.product.provider_keys(run.user_id))
    follow_up = await tasks.follow_up(here, run)
    session = await open_session(here, run, box, agent, keys, follow_up=follow_up)
    await recorder.note(
        "The agent has the task", part="executing", status="executing", progress=20, session_id=session.id
    )
    here.signals.wake(BATCHES)  # the next one's folder may be opened now
    async with egress.telling(here, run, recorder), keeping_accounts(here, run, box, keys):
        await space.guarded(here, box, follow_session(here, recorder, box, session, agent))
    return None


@step
async def collect(here: World, run: Run, recorder: Recorder) -> End | None:
    """Take what the agent changed out of the sandbox, as one commit in the mirror."""
    await recorder.note("Collecting the changes", part="collecting", status="committing", progress=80)
    await tasks.leave_slot(here, run, recorder)
    mends = await tasks.mends(here, run)
    box = await lease(here, run, recorder)
    changed = await collect_changes(here, run, box, recorder, mends=mends)
    return None if changed else success("no_changes")


@step
async def hand_in(here: World, run: Run, recorder: Recorder) -> End | None:
    """In a batch, its work waits here for the others'; alone, it goes on."""
    if run.batch_id is None:
        return None
    await tasks.hand_in(here, run, recorder)
    return HANDED_IN


@step
async def mend(here: World, run: Run, recorder: Recorder) -> End | None:
    """Lay the others' work over its own, for the agent to reconcile the two."""
    await recorder.note("Bringing in the others' work", part="mending", status="executing", progress=20)
    await tasks.lay_out_conflict(here, run, await lease(here, run, recorder))
    return None


@step
async def publish(here: World, run: Run, recorder: Recorder) -> End | None:
    """Push the commit to the task's branch, or a suffixed one where that holds others' commits."""
    await recorder.note("Pushing the branch", part="pushing", progress=88)
    remote, credential = await remote_of(here, run.project_id, run.user_id)
    store = Store(Mirror(here.settings.repos, run.project_id))
    branch, tip = await free_branch(f"openlinear/{run.task_id}", store, remote, credential)
    await recorder.write([], branch=branch)
    if tip != run.head_sha:
        await push(store, remote, credential, sha=known(run.head_sha), branch=branch, expected=tip)
    await recorder.write([], pushed_sha=run.head_sha)
    return None


@step
async def propose(here: World, run: Run, recorder: Recorder) -> End | None:
    """Open the pull request where the remote is on a forge; elsewhere the branch is the result."""
    access = await here.product.remote(run.project_id, run.user_id)
    if not here.forge.hosts(access.url) or access.credential is None:
        return success("pushed")
    await recorder.note("Opening the pull request", part="proposing", status="creating_pr", progress=94)
    try:
        pull_request = await here.forge.open_pull_request(
            access.url,
            access.credential,
            head=run.branch,
            base=run.base_branch,
            title=run.title,
            body=await body(here.database, run),
        )
    except RunError as error:
        reason = f"The branch {run.branch} is pushed, but has no pull request: {error.reason}"
        raise RunError(reason, error.kind) from error
    await recorder.write([], pr_url=pull_request.url, pr_number=pull_request.number)
    return success("pull_request")


LINE: tuple[Take, ...] = (prepare, converse, collect, hand_in, publish, propose)
MENDING: tuple[Take, ...] = (mend, converse, collect, hand_in)


# -- around the steps -----------------------------------------------------------------------------


@DBOS.step(name="retry", **PATIENTLY)
async def retry(hold: Hold, failed: str, end: End, attempt: int, nth: int) -> float | None:
    """Whether what failed gets this further attempt: the seconds to wait for it, or None.

    `nth` counts the failures of its class: a cut line does not use up what a crash is granted.
    """
    here = world()
    recorder = Recorder(here.database, hold)
    async with recorder.transaction() as (session, run):
        most = Limits.of(run.limits, here.settings).attempts or here.settings.run_attempts
        wait = wait_before(end["kind"], nth, end.get("wait"))
        if wait is None or attempt > most or run.cancel_requested_at is not None:
            return None
        if run.attempt < attempt:
            of = attempts(str(end["kind"]), nth, attempt, most)
            message = f"Attempt {attempt} of {of} in {wait:.0f} s: {end['reason']}"
            details = {"attempt": attempt, "attempts": of, "class": end["kind"], "waitSeconds": wait}
            details["error"] = end["reason"]
            entry = Entry("status", f"attempt:{attempt}", message=message, level="warning", details=details)
            again = {"session_id": None} if failed == "converse" else {}
            await append(session, run, [entry], attempt=attempt, attempts=of, message=message, **again)
    if failed == "converse" and here.settings.run_retry_from == "start":
        await _start_over(here, run, recorder)
    return wait


async def _start_over(here: World, run: Run, recorder: Recorder) -> None:
    """The workspace as it was before the agent came."""
    box = await lease(here, run, recorder)
    await workspace.remove(here.sandbox, box, run.id, project_id=run.project_id)
    await _lay_out(here, run, box)


def _part(name: str, work: Callable[..., Awaitable[None]]) -> Callable[..., Coroutine[Any, Any, None]]:
    """A part of a run's end as a step that is tried until it works: its failure would leave no end."""

    @DBOS.step(name=name, **PATIENTLY)
    @observed(name)
    async def part(hold: Hold, *args: End) -> None:
        here = world()
        await work(here, Recorder(here.database, hold), *args)

    return part


stop = _part("stop", ending.stop)
give_up_mending = _part("give_up_mending", tasks.give_up_mending)
salvage = _part("salvage", ending.salvage)
finish = _part("finish", ending.finish)
clear = _part("clear", ending.clear)


# -- what the steps share -------------------------------------------------------------------------


async def _mirror(here: World, run: Run) -> tuple[Mirror, str]:
    """The project's mirror, fresh, and the commit to start from: the one of the first attempt, if any."""
    mirror = Mirror(here.settings.repos, run.project_id)
    remote, credential = await remote_of(here, run.project_id, run.user_id)
    tip = await mirror.refresh(remote, credential, run.base_branch)
    return mirror, run.base_sha or await start_of(here, run) or tip


async def _lay_out(here: World, run: Run, box: Box) -> None:
    base = known(run.base_sha)
    await workspace.make(here.sandbox, box, run.id, project_id=run.project_id, base=base, branch=run.branch)
    await tasks.stand_on(here, run, box)
    await put_back(here, run, box)


async def _begin(here: World, run: Run, recorder: Recorder) -> tuple[Box, bool]:
    """The run's sandbox, awake: its workspace may be without files yet, its agent has the keys. And whether
    the workspace was there before: the agent may have opened it with other keys.
    """
    keys = list(await here.product.provider_keys(run.user_id))
    await egress.allow(here, run.user_id)
    box = await lease(here, run, recorder)
    if run.base_sha is not None:  # a repeat: a worker that died may have left git at work in there
        await here.sandbox.stop_run(box, run.id)
    there = asyncio.ensure_future(workspace.begin(here.sandbox, box, run.id, branch=run.branch))
    await _together(there, prepare_agent(run, box, here.agents[run.agent], keys))
    return box, there.result()


async def _fill(here: World, run: Run, recorder: Recorder, begun: Awaitable[tuple[Box, bool]]) -> None:
    """Fetch what the workspace begins with, and lay it out there."""
    mirror, base = await _mirror(here, run)
    box, _ = await begun
    await mirror.share(here.sandbox.shared_objects(run.user_id) / str(run.project_id))
    await recorder.note("Laying out the workspace", part="workspace", progress=15, base_sha=base)
    await recorder.write([], start_sha=await tasks.ground(here, await recorder.run()))
    await _lay_out(here, await recorder.run(), box)


async def _warm(here: World, run: Run, begun: Awaitable[tuple[Box, bool]]) -> None:
    """Beside the fetch and the checkout, which it does not depend on."""
    box, there = await begun
    await here.agents[run.agent].warm(box, workspace.folder(box, run.id), again=there)


async def _together(*work: Awaitable[object]) -> None:
    """All at once; where one fails the others are stopped, and its error (the first one's) counts."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            if task in done:
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
