"""The life of a run, top to bottom: prepare → converse → collect → publish → propose → finish.

Each step is checkpointed by DBOS and may be repeated: after a crash the workflow carries on from the
step that was under way. So a step reads the run's row, does what is not done yet, and writes what it
found to the row; commit dates, session titles and message ids derive from the row. What a step
returns is small JSON: None to go on, or how the run ends.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar
from uuid import UUID

from dbos import DBOS

from engine.changes import collect_changes, discard_incoming, free_branch, known
from engine.errors import RunError
from engine.git import workspace
from engine.git.demo import demo_home, ensure_demo_repo
from engine.git.mirror import Mirror
from engine.git.publish import push
from engine.git.remote import Remote, parse
from engine.git.store import Store
from engine.models import ENDED, Run, now
from engine.ports import Box, Credential, Session
from engine.pull_request import body
from engine.record import Entry, Recorder, append
from engine.session import converse as follow_session
from engine.session import open_session
from engine.step import PATIENTLY, End, internal, step, success
from engine.world import World, world

log = logging.getLogger(__name__)

SALVAGE_SECONDS = 20.0
TIDY_SECONDS = 30.0
"""How long the end of a run may take to save and to clean before it is recorded without that."""

A = TypeVar("A")
B = TypeVar("B")


@DBOS.workflow(name="run", max_recovery_attempts=None)
async def run_workflow(run_id: str) -> str:
    try:
        end = await _walk(run_id)
    except Exception:  # whatever it was, a run that began has an end
        log.exception("run %s broke", run_id)
        end = internal("run")
    if end["status"] != "done":
        await salvage(run_id)
    await finish(run_id, end)
    return end["status"]


async def _walk(run_id: str) -> End:
    for take in (prepare, converse, collect, publish):
        end = await take(run_id)
        if end is not None:
            return end
    return await propose(run_id) or success("pushed")


# -- steps --------------------------------------------------------------------------------------


@step
async def prepare(here: World, run: Run, recorder: Recorder) -> End | None:
    """Refresh the mirror with the user's credential, wake their sandbox, lay out the workspace."""
    await recorder.note(
        "Fetching the repository",
        part="cloning",
        status="cloning",
        progress=5,
        started_at=run.started_at or now(),
        sandbox=here.sandbox.name,
    )
    (mirror, base), box = await _both(_mirror(here, run), _box(here, run, recorder))
    await mirror.share(here.sandbox.shared_objects(run.user_id) / str(run.project_id))
    if run.base_sha is not None:  # a repeat: a worker that died may have left git at work in there
        await here.sandbox.stop_run(box, run.id)
    await recorder.note("Laying out the workspace", part="workspace", progress=15, base_sha=base)
    await workspace.make(here.sandbox, box, run.id, project_id=run.project_id, base=base, branch=run.branch)
    return None


@step
async def converse(here: World, run: Run, recorder: Recorder) -> End | None:
    """Prompt the agent, unless that was done before, and follow it to the end of its turn."""
    agent = here.agents[run.agent]
    box = await _box(here, run, recorder)
    keys = list(await here.product.provider_keys(run.user_id))
    session = await open_session(here, run, box, agent, keys)
    await recorder.note(
        "The agent has the task", part="executing", status="executing", progress=20, session_id=session.id
    )
    await follow_session(here, await recorder.run(), box, session, agent)
    return None


@step
async def collect(here: World, run: Run, recorder: Recorder) -> End | None:
    """Take what the agent changed out of the sandbox, as one commit in the mirror."""
    await recorder.note("Collecting the changes", part="collecting", status="committing", progress=80)
    changed = await collect_changes(here, run, await _box(here, run, recorder), recorder)
    return None if changed else success("no_changes")


@step
async def publish(here: World, run: Run, recorder: Recorder) -> End | None:
    """Push the commit to the task's branch, or a suffixed one where that holds others' commits."""
    await recorder.note("Pushing the branch", part="pushing", progress=88)
    remote, credential = await _remote(here, run)
    store = Store(Mirror(here.settings.repos, run.project_id))
    branch, tip = await free_branch(run, store, remote, credential)
    await recorder.write([], branch=branch)
    if tip != run.head_sha:
        await push(store, remote, credential, sha=known(run.head_sha), branch=branch, expected=tip)
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
            access.credential.password,
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


@DBOS.step(name="salvage", **PATIENTLY)
async def salvage(run_id: str) -> None:
    """What a failed or cancelled run has done so far is kept in the mirror, and shown as its diff."""
    here = world()
    recorder = Recorder(here.database, UUID(run_id))
    run = await recorder.run()
    if run.session_id is None or run.base_sha is None:
        return
    try:
        async with asyncio.timeout(SALVAGE_SECONDS):
            box = await _box(here, run, recorder)
            agent = here.agents[run.agent]
            await agent.abort(box, _session(run, box))
            await here.sandbox.stop_run(box, run.id)
            if run.head_sha is None:
                await collect_changes(here, run, box, recorder)
    except Exception as error:  # the run has ended already; its reason must not be hidden by this
        log.warning("run %s: its unfinished work could not be kept: %s", run_id, error)
        await recorder.note("The unfinished work could not be kept", part="salvage", level="warning")


@DBOS.step(name="finish", **PATIENTLY)
async def finish(run_id: str, end: End) -> None:
    """Free what the run held, then record its end and tell the product, in one transaction."""
    here = world()
    recorder = Recorder(here.database, UUID(run_id))
    run = await recorder.run()
    await _tidy(here, run, recorder)
    async with here.database.transaction() as session:
        run = await recorder.load(session, lock=True)
        if run.status in ENDED:
            return
        run.status, run.outcome, run.error, run.error_kind = (
            end["status"],
            end["outcome"],
            end["reason"],
            end["kind"],
        )
        run.ended_at = now()
        run.message = ""
        run.progress = 100 if end["status"] == "done" else run.progress
        await session.flush()
        await here.product.ended(session, run.id)
        level = "error" if end["status"] == "failed" else "info"
        await append(session, run, [Entry("status", "ended", message=_farewell(run), level=level)])


# -- what the steps share -------------------------------------------------------------------------


async def _remote(here: World, run: Run) -> tuple[Remote, Credential | None]:
    """The project's remote and this user's credential for it, checked and fetched at each use."""
    access = await here.product.remote(run.project_id, run.user_id)
    settings = here.settings
    remote = parse(access.url, allow_local=settings.allow_local_remotes, demo_home=demo_home(settings))
    if remote.scheme == "demo":
        await ensure_demo_repo(settings, run.project_id)
    return remote, access.credential


async def _mirror(here: World, run: Run) -> tuple[Mirror, str]:
    """The project's mirror, fresh, and the commit to start from: the one of the first attempt, if any."""
    mirror = Mirror(here.settings.repos, run.project_id)
    remote, credential = await _remote(here, run)
    tip = await mirror.refresh(remote, credential, run.base_branch)
    return mirror, run.base_sha or tip


def _session(run: Run, box: Box) -> Session:
    return Session(known(run.session_id), box.repos / str(run.id))


async def _both(first: Coroutine[Any, Any, A], second: Coroutine[Any, Any, B]) -> tuple[A, B]:
    """Both at once; where one fails the other is stopped, and its error is the one that counts."""
    try:
        async with asyncio.TaskGroup() as group:
            one, other = group.create_task(first), group.create_task(second)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from errors
    return one.result(), other.result()


async def _box(here: World, run: Run, recorder: Recorder) -> Box:
    async def report(line: str) -> None:
        await recorder.note(line, part=f"sandbox:{line}")

    return await here.containers.lease(run.id, run.user_id, report)


async def _tidy(here: World, run: Run, recorder: Recorder) -> None:
    """Remove the workspace and give the sandbox back. What stays behind is said, not fatal."""
    try:
        if run.base_sha is not None:
            async with asyncio.timeout(TIDY_SECONDS):
                box = await _box(here, run, recorder)
                await here.sandbox.stop_run(box, run.id)
                if run.session_id is not None:
                    await here.agents[run.agent].close(box, _session(run, box))
                await workspace.remove(here.sandbox, box, run.id, project_id=run.project_id)
    except Exception as error:
        log.warning("run %s: its workspace could not be removed: %s", run.id, error)
        await recorder.note("The workspace could not be removed", part="tidy", level="warning")
    await discard_incoming(here.settings.repos, run.id)
    await here.containers.release(run.id, run.user_id)


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
