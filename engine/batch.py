"""The life of a batch's merge, top to bottom: assemble → verify → publish → propose, then its end.

Steps are named apart from a run's: DBOS knows them by their names.

The tasks themselves are runs (`engine.run`), begun one by one as slots come free (`engine.batches.advance`);
this begins when each of them has handed in its work or come to its end. As in a run, each step is
checkpointed and may be repeated: what it finds out is in the batch's row, and commits derive from that.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from dbos import DBOS

from engine.batches import ends
from engine.batches.body import body, title
from engine.batches.record import BatchRecorder
from engine.batches.train import AGAIN, Yard, couple, try_out
from engine.changes import free_branch, known
from engine.errors import RunError
from engine.git.mirror import Mirror
from engine.git.publish import push
from engine.git.store import Store
from engine.models import Batch
from engine.observe import observed
from engine.ownership import Hold, Superseded, claim_batch
from engine.remotes import remote_of
from engine.retries import wait_before
from engine.step import PATIENTLY, Body, End, Step, checkpointed, insisting, internal, success
from engine.world import World, world

log = logging.getLogger(__name__)


@DBOS.workflow(name="batch", max_recovery_attempts=None)
async def batch_workflow(batch_id: str) -> str:
    """Merge what a batch's tasks have handed in, from wherever an earlier worker left it."""
    here, workflow = world(), str(DBOS.workflow_id)
    try:
        hold = await insisting(lambda: claim_batch(here.database, UUID(batch_id), here.worker, workflow))
        if hold is None:
            return "over"
        return await carry(hold)
    except Superseded:
        log.info("batch %s: another worker carries it on", batch_id)
        return "superseded"


async def carry(hold: Hold) -> str:
    """Every step of the merge, and its end; how it ended. A conflict that goes back to its task ends it
    too: the batch is under way again."""
    end = await _walk(hold)
    if end == AGAIN:
        return "again"
    await settle(hold, end)
    await finish(hold, end)
    await clear(hold)
    return end["status"]


async def _walk(hold: Hold) -> End:
    try:
        return await _take(hold, (assemble, verify, publish_batch, propose_batch))
    except Exception:  # whatever it was, a batch that began has an end
        log.exception("batch %s broke", hold.id)
        return internal("batch")


async def _take(hold: Hold, steps: Sequence[Step]) -> End:
    """Step by step; one whose failure may pass is tried again (see `engine.retries`)."""
    failures = Counter[str | None]()
    for take in steps:
        while (end := await take(hold)) is not None:
            failures[end["kind"]] += 1
            wait = wait_before(end["kind"], failures[end["kind"]], end.get("wait"))
            if end["status"] != "failed" or wait is None:
                return end
            await say(hold, f"Trying again in {wait:.0f} s: {end['reason']}")
            await DBOS.sleep_async(wait)
    return success("pushed")


def _merge_step(body: Body[BatchRecorder]) -> Step:
    return checkpointed(body, BatchRecorder)


# -- steps --------------------------------------------------------------------------------------


@_merge_step
async def assemble(here: World, batch: Batch, recorder: BatchRecorder) -> End | None:
    """Merge what was handed in onto a freshly fetched default branch, in order, in the object store."""
    await recorder.say("Fetching the repository")
    mirror = Mirror(here.settings.repos, batch.project_id)
    remote, credential = await remote_of(here, batch.project_id, batch.user_id)
    tip = await mirror.refresh(remote, credential, batch.base_branch)
    base = batch.base_sha or tip
    await recorder.write(base_sha=base)
    await recorder.say("Merging")
    return await couple(Yard(here, batch, recorder, Store(mirror), base))


@_merge_step
async def verify(here: World, batch: Batch, recorder: BatchRecorder) -> End | None:
    """Run the project's checks on the merged result; whoever's merge breaks them is left out."""
    if not batch.checks:
        return None
    store = Store(Mirror(here.settings.repos, batch.project_id))
    return await try_out(Yard(here, batch, recorder, store, known(batch.base_sha)))


@_merge_step
async def publish_batch(here: World, batch: Batch, recorder: BatchRecorder) -> End | None:
    """Push the result to a branch of the batch's own."""
    await recorder.say("Pushing the branch")
    remote, credential = await remote_of(here, batch.project_id, batch.user_id)
    store = Store(Mirror(here.settings.repos, batch.project_id))
    branch, tip = await free_branch(f"openlinear/batch-{batch.id}", store, remote, credential)
    await recorder.write(branch=branch)
    head = known(batch.head_sha)
    if tip != head:
        await push(store, remote, credential, sha=head, branch=branch, expected=tip)
    await recorder.write(pushed_sha=head)
    return None


@_merge_step
async def propose_batch(here: World, batch: Batch, recorder: BatchRecorder) -> End | None:
    """Open the one pull request where the remote is on a forge; elsewhere the branch is the result."""
    access = await here.product.remote(batch.project_id, batch.user_id)
    if not here.forge.hosts(access.url) or access.credential is None:
        return success("pushed")
    await recorder.say("Opening the pull request")
    try:
        found = await here.forge.open_pull_request(
            access.url,
            access.credential,
            head=batch.branch,
            base=batch.base_branch,
            title=await title(here.database, batch),
            body=await body(here.database, batch),
        )
    except RunError as error:
        reason = f"The branch {batch.branch} is pushed, but has no pull request: {error.reason}"
        raise RunError(reason, error.kind) from error
    await recorder.write(pr_url=found.url, pr_number=found.number)
    return success("pull_request")


# -- around the steps -----------------------------------------------------------------------------


@DBOS.step(name="say", **PATIENTLY)
async def say(hold: Hold, message: str) -> None:
    await BatchRecorder(world(), hold).say(message)


@DBOS.step(name="settle", **PATIENTLY)
@observed("settle")
async def settle(hold: Hold, end: End) -> None:
    """Each task whose work was handed in comes to its end: done where that is in what was pushed."""
    here = world()
    await ends.settle(here, BatchRecorder(here, hold), end)


@DBOS.step(name="finish_batch", **PATIENTLY)
@observed("finish_batch")
async def finish(hold: Hold, end: End) -> None:
    """Record the end and tell the product, in one transaction."""
    await BatchRecorder(world(), hold).finish(end)


@DBOS.step(name="clear_batch", **PATIENTLY)
@observed("clear_batch")
async def clear(hold: Hold) -> None:
    """Leave nothing of its tasks behind but what is worth keeping."""
    here = world()
    await ends.clear(here, BatchRecorder(here, hold))
