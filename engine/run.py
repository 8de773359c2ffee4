"""The life of a run, top to bottom: prepare → converse → collect → publish → propose → finish.

Each step is checkpointed by DBOS and may be repeated: after a crash the workflow carries on from the
step that was under way. So a step reads the run's row, does what is not done yet, and writes what it
found to the row; commit dates, session titles and message ids derive from the row. What a step
returns is small JSON: None to go on, or how the run ends.
"""

import asyncio
import functools
import logging
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypedDict
from uuid import UUID

from dbos import DBOS
from sqlalchemy import select
from sqlmodel import col

from engine.errors import Cancelled, RunError
from engine.git import workspace
from engine.git.mirror import Mirror, mirror_of
from engine.git.remote import Remote, parse
from engine.models import ENDED, Run, RunDiff, now
from engine.ports import Box, Credential, Session
from engine.pull_request import body
from engine.record import Entry, Recorder
from engine.session import converse as follow_session
from engine.session import open_session
from engine.world import World, world

log = logging.getLogger(__name__)


class End(TypedDict):
    """How a run ends. `reason` and `kind` for a failure, `outcome` for a success."""

    status: str
    outcome: str | None
    reason: str | None
    kind: str | None


def success(outcome: str) -> End:
    return End(status="done", outcome=outcome, reason=None, kind=None)


def failure(error: RunError) -> End:
    return End(status="failed", outcome=None, reason=error.reason, kind=error.kind)


CANCELLED = End(status="cancelled", outcome=None, reason=None, kind=None)


@DBOS.workflow(name="run", max_recovery_attempts=None)
async def run_workflow(run_id: str) -> str:
    for step in (prepare, converse, collect, publish, propose):
        end = await step(run_id)
        if end is not None:
            break
    else:
        end = success("pull_request")
    if end["status"] != "done":
        await salvage(run_id)
    await finish(run_id, end)
    return end["status"]


Step = Callable[[World, Run, Recorder], Coroutine[Any, Any, End | None]]


def _step(body: Step) -> Callable[[str], Coroutine[Any, Any, End | None]]:
    """A checkpointed step: stops when the run is cancelled, turns errors into how the run ends."""

    @DBOS.step(name=body.__name__)
    @functools.wraps(body)
    async def step(run_id: str) -> End | None:
        here = world()
        recorder = Recorder(here.database, UUID(run_id))
        try:
            return await _unless_cancelled(here, recorder, body)
        except Cancelled:
            return CANCELLED
        except RunError as error:
            return failure(await _explained(here, recorder, error))
        except OSError as error:
            log.exception("run %s: %s failed", run_id, body.__name__)
            return failure(_os_error(error))
        except Exception:
            log.exception("run %s: %s failed", run_id, body.__name__)
            return failure(
                RunError(
                    f"Something went wrong in OpenLinear itself ({body.__name__}). The engine's log has more."
                )
            )

    return step


async def _unless_cancelled(here: World, recorder: Recorder, body: Step) -> End | None:
    """Do the step's work, or stop it midway when somebody cancels the run."""
    work = asyncio.create_task(body(here, await recorder.run(), recorder))
    cancelled = asyncio.create_task(_cancelled(here, recorder))
    try:
        await asyncio.wait([work, cancelled], return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise Cancelled
    finally:
        for task in (work, cancelled):
            task.cancel()
        await asyncio.gather(work, cancelled, return_exceptions=True)


async def _cancelled(here: World, recorder: Recorder) -> None:
    """Return once the run's row asks for its end. Reads it again now and then, should a hint be lost."""
    with here.signals.watch(recorder.run_id) as stirred:
        while True:
            stirred.clear()
            if (await recorder.run()).cancel_requested:
                return
            try:
                async with asyncio.timeout(2.0):
                    await stirred.wait()
            except TimeoutError:
                continue


async def _explained(here: World, recorder: Recorder, error: RunError) -> RunError:
    """A dead agent is only a symptom: say what killed it, where the sandbox can tell."""
    if error.kind not in ("agent_crash", "network", "timeout"):
        return error
    run = await recorder.run()
    cause = await here.sandbox.cause_of_death(run.user_id) if run.session_id else None
    return RunError(cause, "sandbox") if cause else error


def _os_error(error: OSError) -> RunError:
    if error.errno == 28:
        return RunError("The disk of this machine is full. Free some space, then retry the task.", "disk")
    return RunError(
        f"This machine refused: {error.strerror}. Check the engine's log, then retry.", "internal"
    )


# -- steps --------------------------------------------------------------------------------------


@_step
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
    (mirror, base), box = await asyncio.gather(_mirror(here, run), _box(here, run, recorder))
    await mirror.share(here.sandbox.shared_objects(run.user_id) / str(run.project_id))
    await recorder.note("Laying out the workspace", part="workspace", progress=15, base_sha=base)
    await workspace.make(here.sandbox, box, run.id, run.project_id, base, run.branch)
    return None


@_step
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


@_step
async def collect(here: World, run: Run, recorder: Recorder) -> End | None:
    """Take what the agent changed out of the sandbox, as one commit in the mirror."""
    await recorder.note("Collecting the changes", part="collecting", status="committing", progress=80)
    changed = await _collect(here, run, await _box(here, run, recorder))
    return None if changed else success("no_changes")


@_step
async def publish(here: World, run: Run, recorder: Recorder) -> End | None:
    """Push the commit to the task's branch, or a suffixed one where that holds others' commits."""
    await recorder.note("Pushing the branch", part="pushing", progress=88)
    mirror = mirror_of(here.settings, run.project_id)
    remote, credential = await _remote(here, run)
    branch, tip = await _free_branch(here, run, mirror, remote, credential)
    await recorder.write([], branch=branch)
    if tip != run.head_sha:
        await mirror.push(remote, credential, _known(run.head_sha), branch, tip)
    return None


@_step
async def propose(here: World, run: Run, recorder: Recorder) -> End | None:
    """Open the pull request where the remote is on a forge; elsewhere the branch is the result."""
    access = await here.product.remote(run.project_id, run.user_id)
    if not here.forge.hosts(access.url) or access.credential is None:
        return success("pushed")
    await recorder.note("Opening the pull request", part="proposing", status="creating_pr", progress=94)
    pull_request = await here.forge.open_pull_request(
        access.url,
        access.credential.password,
        head=run.branch,
        base=run.base_branch,
        title=run.title,
        body=await body(here.database, run),
    )
    await recorder.write([], pr_url=pull_request.url, pr_number=pull_request.number)
    return success("pull_request")


@DBOS.step(name="salvage")
async def salvage(run_id: str) -> None:
    """What a failed or cancelled run has done so far is kept in the mirror, and shown as its diff."""
    here = world()
    recorder = Recorder(here.database, UUID(run_id))
    run = await recorder.run()
    if run.session_id is None or run.base_sha is None:
        return
    try:
        async with asyncio.timeout(20.0):
            box = await _box(here, run, recorder)
            agent = here.agents[run.agent]
            await agent.abort(box, Session(run.session_id, box.repos / str(run.id)))
            await here.sandbox.stop_run(box, run.id)
            if run.head_sha is None:
                await _collect(here, run, box)
    except Exception as error:  # the run has ended already; its reason must not be hidden by this
        log.warning("run %s: its unfinished work could not be kept: %s", run_id, error)
        await recorder.note("The unfinished work could not be kept", part="salvage", level="warning")


@DBOS.step(name="finish")
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
        await recorder.append(session, run, [Entry("status", "ended", message=_farewell(run), level=level)])


# -- what the steps share -------------------------------------------------------------------------


async def _remote(here: World, run: Run) -> tuple[Remote, Credential | None]:
    """The project's remote and this user's credential for it, checked and fetched at each use."""
    access = await here.product.remote(run.project_id, run.user_id)
    settings = here.settings
    remote = parse(
        access.url, allow_local=settings.allow_local_remotes, github_url=settings.github_url, internal=True
    )
    return remote, access.credential


async def _mirror(here: World, run: Run) -> tuple[Mirror, str]:
    """The project's mirror, fresh, and the commit to start from: the one of the first attempt, if any."""
    mirror = mirror_of(here.settings, run.project_id)
    remote, credential = await _remote(here, run)
    tip = await mirror.refresh(remote, credential, run.base_branch)
    return mirror, run.base_sha or tip


async def _box(here: World, run: Run, recorder: Recorder) -> Box:
    async def report(line: str) -> None:
        await recorder.note(line, part=f"sandbox:{line}")

    return await here.containers.lease(run.id, run.user_id, report)


async def _collect(here: World, run: Run, box: Box) -> bool:
    """Commit the workspace's state into the mirror and keep its diff. False when nothing changed."""
    mirror = mirror_of(here.settings, run.project_id)
    base = _known(run.base_sha)
    await here.sandbox.stop_run(box, run.id)
    with tempfile.TemporaryDirectory(dir=mirror.path, prefix="incoming-") as folder:
        pack = Path(folder) / "work.pack"
        with pack.open("wb") as out:
            collected = await workspace.collect(
                here.sandbox, box, run.id, base, out, limit=here.settings.pack_limit_mb << 20
            )
        if not collected.changed:
            return False
        await mirror.import_pack(run.id, base, collected.head, collected.tree, pack)
    sha = await mirror.commit(
        run.id,
        base,
        collected.head,
        collected.tree,
        message=f"{run.title}\n\nCo-authored-by: {_agent_name(run.agent)}",
        author=(run.author_name, run.author_email),
        when=run.created_at,
    )
    diff = await mirror.diff(base, sha)
    async with here.database.transaction() as session:
        await session.merge(
            RunDiff(
                run_id=run.id,
                patch=diff.patch.replace("\x00", "\N{SYMBOL FOR NULL}"),
                files=[
                    {"path": f.path, "additions": f.additions, "deletions": f.deletions, "binary": f.binary}
                    for f in diff.files
                ],
            )
        )
    await Recorder(here.database, run.id).write(
        [], head_sha=sha, additions=diff.additions, deletions=diff.deletions, files_changed=len(diff.files)
    )
    return True


async def _free_branch(
    here: World, run: Run, mirror: Mirror, remote: Remote, credential: Credential | None
) -> tuple[str, str | None]:
    """A branch that is new or whose tip is ours, and that tip. Nobody's commits are overwritten."""
    async with here.database.transaction() as session:
        rows = await session.execute(
            select(col(Run.head_sha)).where(col(Run.task_id) == run.task_id, col(Run.head_sha).is_not(None))
        )
        ours = set(rows.scalars())
    for suffix in ("", *(f"-{n}" for n in range(2, 100))):
        branch = f"openlinear/{run.task_id}{suffix}"
        tip = await mirror.remote_tip(remote, credential, branch)
        if tip is None or tip in ours:
            return branch, tip
    raise RunError(
        f"Every branch name from openlinear/{run.task_id} on is taken by somebody's commits. "
        "Delete those branches on the remote, then retry.",
        "remote",
    )


async def _tidy(here: World, run: Run, recorder: Recorder) -> None:
    """Remove the workspace and give the sandbox back. What stays behind is said, not fatal."""
    try:
        if run.base_sha is not None:
            box = await _box(here, run, recorder)
            await here.sandbox.stop_run(box, run.id)
            await workspace.remove(here.sandbox, box, run.id)
    except Exception as error:
        log.warning("run %s: its workspace could not be removed: %s", run.id, error)
        await recorder.note("The workspace could not be removed", part="tidy", level="warning")
    await here.containers.release(run.id, run.user_id)


def _known(sha: str | None) -> str:
    if sha is None:
        raise RuntimeError("a step ran before the one that records its commit")
    return sha


def _agent_name(agent: str) -> str:
    names = {"opencode": "OpenCode <noreply@opencode.ai>"}
    return names.get(agent, f"{agent} <noreply@localhost>")


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
