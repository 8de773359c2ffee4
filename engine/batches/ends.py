"""What becomes of a batch's tasks once its merge has come to an end."""

import logging
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from engine import ending
from engine.batches.advance import members_of
from engine.batches.record import BatchRecorder
from engine.changes import free_branch, known
from engine.errors import Class, RunError
from engine.git.mirror import Mirror
from engine.git.publish import push
from engine.git.store import Store
from engine.models import Batch, Member, Run
from engine.ownership import Superseded, claim_member, claim_to_clear
from engine.record import Recorder
from engine.remotes import remote_of
from engine.step import End, failure, success
from engine.world import World

log = logging.getLogger(__name__)


async def settle(here: World, books: BatchRecorder, end: End) -> None:
    """Each task that handed in its work: done where that was pushed, else open, with its reason. Repeatable.

    A task that was cancelled meanwhile is left to whoever ends cancelled runs.
    """
    async with books.transaction() as (session, batch):
        members = await members_of(session, batch.id)
    for member, run in members:
        if member.handed_in_at is not None and run.ended_at is None:
            await _settle(here, books, batch, member, end)


async def _settle(here: World, books: BatchRecorder, batch: Batch, member: Member, end: End) -> None:
    """Until it has its end: its own workflow may be recovered, and take it, in this very moment."""
    while True:
        async with books.transaction() as (session, _):
            pushed = _is_in(batch, member)
            hold = await claim_member(session, member.run_id, here.worker, pushed=pushed)
        if hold is None:
            return
        recorder = Recorder(here.database, hold)
        try:
            return await ending.finish(here, recorder, await _end_of(here, batch, member, recorder, end))
        except Superseded:
            continue


async def _end_of(here: World, batch: Batch, member: Member, recorder: Recorder, end: End) -> End:
    if _is_in(batch, member):
        run = await recorder.run()
        await recorder.write(
            [], branch=batch.branch, pushed_sha=run.head_sha, pr_url=batch.pr_url, pr_number=batch.pr_number
        )
        return success("pull_request" if batch.pr_number is not None else "pushed")
    if member.left_out is None:
        return failure(RunError(f"Its batch failed: {end['reason']}", "left_out"))
    nothing_pushed = end["status"] == "failed" and batch.conflict_behavior == "fail"
    where = "Its work is kept here." if nothing_pushed else await _own_branch(here, batch, recorder)
    kind: Class = "checks" if member.left_out_kind == "checks" else "clash"
    return failure(RunError(f"Left out of its batch. {member.left_out} {where}", kind))


def _is_in(batch: Batch, member: Member) -> bool:
    """Whether the task is in what was pushed."""
    return batch.pushed_sha is not None and member.left_out is None and member.merged_sha is not None


async def _own_branch(here: World, batch: Batch, recorder: Recorder) -> str:
    """Push work that was left out to a branch of its own; where it is now, in words."""
    run = await recorder.run()
    store = Store(Mirror(here.settings.repos, run.project_id))
    head = known(run.head_sha)
    try:
        remote, credential = await remote_of(here, batch.project_id, batch.user_id)
        branch, tip = await free_branch(f"openlinear/{run.task_id}", store, remote, credential)
        if tip != head:
            await push(store, remote, credential, sha=head, branch=branch, expected=tip)
    except RunError as error:
        log.warning("run %s: its own branch could not be pushed: %s", run.id, error)
        return "Its own branch could not be pushed; the work is kept here."
    await recorder.write([], branch=branch, pushed_sha=head)
    return f"Its work is on the branch {branch}."


async def clear(here: World, books: BatchRecorder) -> None:
    """Remove what the ended tasks left in their sandbox; what is not on the remote is kept first."""
    async with books.transaction() as (session, batch):
        over = select(col(Run.id)).where(col(Run.batch_id) == batch.id, col(Run.ended_at).is_not(None))
        runs = list(await session.scalars(over.where(col(Run.cleared_at).is_(None))))
    for run_id in runs:
        await _clear(here, books, run_id)


async def _clear(here: World, books: BatchRecorder, run_id: UUID) -> None:
    """Until it is cleared, as in `_settle`."""
    while True:
        async with books.transaction() as (session, _):
            hold = await claim_to_clear(session, run_id, here.worker)
        if hold is None:
            return
        try:
            return await ending.clear(here, Recorder(here.database, hold))
        except Superseded:
            continue
