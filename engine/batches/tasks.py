"""What is different about a run in a batch: what it begins with, where it hands its work in, and how it
reconciles that with the others' when the two conflict.
"""

import asyncio
import logging
from pathlib import Path
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from engine.batches.advance import members_of
from engine.changes import Mends, incoming, known
from engine.ending import lease
from engine.errors import RunError
from engine.git import mending
from engine.git.leftovers import restore
from engine.git.merge import Part, merge
from engine.git.mirror import Mirror
from engine.git.store import Store
from engine.models import Batch, Member, Run, now
from engine.ports import Box, Product
from engine.record import Entry, Recorder, append
from engine.signals import BATCHES
from engine.step import End, success
from engine.world import World

log = logging.getLogger(__name__)

SLOT_SECONDS = 2.0
"""How late a lost hint of a free slot is made up for."""
HANDED_IN: End = success("handed_in")

MEND = """\
Your work on this task is done, but it conflicts with the work of other tasks that will be merged with it.
Their work has been merged into your working folder. These files have conflicts:

{files}

Resolve them: edit each so that both changes keep their purpose, and leave no conflict markers behind. Do not
undo the others' work, and change nothing that the conflict does not ask for. You need not commit.

For reference, your task was:

{prompt}
"""


async def turn(here: World, run: Run, recorder: Recorder) -> None:
    """Return when a slot is the run's: its workspace may have been made ahead of that."""
    if run.takes_slot:
        return
    await recorder.note("Ready, waits for a free slot", part="ready")
    with here.signals.watch(run.id) as stirred:
        while not (await recorder.run()).takes_slot:
            try:
                async with asyncio.timeout(SLOT_SECONDS):
                    await stirred.wait()
            except TimeoutError:
                continue
            stirred.clear()


async def leave_slot(here: World, run: Run, recorder: Recorder) -> None:
    """Its agent is done. Taking its work over needs no slot, so the next task begins meanwhile."""
    if run.batch_id is not None:
        await recorder.write([], takes_slot=False)
        here.signals.wake(BATCHES)


async def hand_in(here: World, run: Run, recorder: Recorder, *, gave_up: bool = False) -> None:
    """Its work is there; nothing of it needs the sandbox awake any more. Repeatable.

    The sandbox is given back first: from the moment it is handed in, a second turn may begin in there.
    """
    await _rest(here, run, recorder)
    async with recorder.transaction() as (session, locked):
        member = await session.get_one(Member, locked.id)
        if member.handed_in_at is not None:
            return
        member.handed_in_at = now()
        if not gave_up:
            member.left_out = None
        message = "Waits for its batch"
        entry = Entry("status", f"handed_in:{member.turn}", message=message)
        await session.flush()
        await append(session, locked, [entry], status="committing", message=message, progress=90)
        await here.product.batch(session, member.batch_id, "task:completed", run.task_id)
    here.signals.wake(BATCHES)


async def _rest(here: World, run: Run, recorder: Recorder) -> None:
    """Give the sandbox back. The workspace stays until the batch is over: a conflict may come back to it."""
    if not await here.containers.leased(run.id):
        return
    try:
        box = await lease(here, run, recorder)
        await here.agents[run.agent].close(box, box.repos / str(run.id))
    except RunError as error:  # it is over anyway, and its sandbox may be away
        log.warning("run %s: its agent did not let go of its folder: %s", run.id, error)
    await here.containers.release(run.id, run.user_id)


async def give_up_mending(here: World, recorder: Recorder, end: End) -> None:
    """Its agent could not reconcile it: its first work stays as it was, and is left out."""
    async with recorder.transaction() as (session, run):
        member = await session.get_one(Member, run.id)
        member.left_out = f"{member.left_out} Its agent could not resolve that: {end['reason']}"
        member.left_out_kind = "clash"
        run.head_sha, run.start_sha = member.head_sha, member.start_sha
    await hand_in(here, await recorder.run(), recorder, gave_up=True)


# -- what it begins with ----------------------------------------------------------------------------


async def ground(here: World, run: Run) -> str | None:
    """The commit that the run's own work is told apart from, where that is not its base: the results of the
    tasks it waits for and, where the batch says so, of those before it. RunError where they conflict.
    """
    if run.batch_id is None or run.start_sha is not None:
        return run.start_sha
    needed = await _needed(here, run.batch_id, run.id)
    if not needed:
        return None
    store = Store(Mirror(here.settings.repos, run.project_id))
    parts = [Part(one.id, known(one.head_sha), f"Merge {one.reference}: {one.title}") for one in needed]
    author, base = (run.author_name, run.author_email), known(run.base_sha)
    train = await merge(store, onto=base, parts=parts, author=author, when=run.created_at)
    if train.clashes:
        names = " and ".join(one.reference for one in needed)
        files = ", ".join(train.clashes[0].files[:5])
        raise RunError(f"It builds on {names}, whose results conflict in {files}.", "clash")
    return train.head


async def _needed(here: World, batch_id: UUID, run_id: UUID) -> list[Run]:
    async with here.database.transaction() as session:
        batch = await session.get_one(Batch, batch_id)
        members = await members_of(session, batch_id)
    own = next(member for member, run in members if run.id == run_id)
    before = batch.mode == "queue" and batch.build_on_previous
    return [
        run
        for member, run in members
        if member.handed_in_at is not None
        and run.ended_at is None
        and (str(run.task_id) in own.waits_for or (before and member.position < own.position))
    ]


async def stand_on(here: World, run: Run, box: Box) -> None:
    """Bring the others' results that a run begins with into its workspace, made at its base."""
    if run.start_sha is None or run.restores is not None:
        return
    store = Store(Mirror(here.settings.repos, run.project_id))
    async with incoming(here.settings.repos, run.id) as folder:
        bundle = folder / "ground.bundle"
        await store.bundle_commit(run.start_sha, known(run.base_sha), bundle)
        await restore(here.sandbox, box, run.id, head=run.start_sha, bundle=bundle, files=None)


# -- mending a conflict -----------------------------------------------------------------------------


async def send_back(
    session: AsyncSession, product: Product, run_id: UUID, *, others: str, files: list[str], reason: str
) -> None:
    """Let the run have a second turn, when a slot is free. In a transaction that holds its batch's lock."""
    run = await session.get_one(Run, run_id, with_for_update=True, populate_existing=True)
    member = await session.get_one(Member, run_id, populate_existing=True)
    member.turn, member.handed_in_at = 2, None
    member.mends_sha, member.clashing, member.left_out = others, files, reason
    member.head_sha, member.start_sha = run.head_sha, run.start_sha
    run.start_sha = others
    message = "Conflicts with others' work: it goes back to its agent"
    entry = Entry("status", "sent_back", message=reason, level="warning")
    await session.flush()
    await append(session, run, [entry], message=message)
    await product.batch(session, member.batch_id, "updated", run.task_id)


async def follow_up(here: World, run: Run) -> str | None:
    """What the agent is told in its second turn; None in its first."""
    member = await _mending(here, run)
    if member is None:
        return None
    files = "\n".join(f"- {name}" for name in member.clashing[:100])
    return MEND.format(files=files, prompt=run.prompt)


async def mends(here: World, run: Run) -> Mends | None:
    """What a second turn reconciles; None in the first."""
    member = await _mending(here, run)
    if member is None:
        return None
    return Mends(known(member.head_sha), known(member.mends_sha), tuple(member.clashing))


async def lay_out_conflict(here: World, run: Run, box: Box) -> None:
    """The others' work merged over the run's own in its workspace, with the conflicts marked. Repeatable."""
    both = await mends(here, run)
    if both is None:
        raise RuntimeError("a run without a conflict has nothing to mend")
    store = Store(Mirror(here.settings.repos, run.project_id))
    async with incoming(here.settings.repos, run.id) as folder:
        bundles: list[Path] = []
        for sha in (both.own, both.others):
            bundles.append(folder / f"{sha}.bundle")
            await store.bundle_commit(sha, known(run.base_sha), bundles[-1])
        await mending.lay_out(here.sandbox, box, run.id, own=both.own, others=both.others, bundles=bundles)


async def _mending(here: World, run: Run) -> Member | None:
    if run.batch_id is None:
        return None
    async with here.database.transaction() as session:
        query = select(Member).where(col(Member.run_id) == run.id, col(Member.turn) > 1)
        found: Member | None = (await session.execute(query)).scalar_one_or_none()
        return found
