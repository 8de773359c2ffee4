"""From one task of a batch to the next: whoever finds a free slot fills it.

No process waits for a batch. Where its tasks stand is read from their rows, and each thing to do is one
transaction under the user's admission lock, by any worker, as often as somebody asks. So a batch may wait for
days, and a worker may die at any instant.

Locks are taken in this order everywhere: admission, batch, run, task, news.
"""

import asyncio
import logging
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from engine.admission import hold_admission, slots_taken
from engine.batches.plan import (
    AHEAD,
    Act,
    AskApproval,
    Begin,
    Finish,
    LeaveOut,
    Merge,
    Place,
    Ready,
    Rules,
    Stage,
    next_act,
)
from engine.models import ENDED, MOVING, Batch, Member, Run, now
from engine.queues import BATCHES as MERGES
from engine.queues import RUNS
from engine.record import Entry, append
from engine.signals import BATCHES, stir
from engine.world import World

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How late a lost hint is made up for."""

Members = list[tuple[Member, Run]]


class Batches:
    """Keeps the batches of all users going, until cancelled."""

    def __init__(self, here: World) -> None:
        self._here = here

    async def serve(self) -> None:
        with self._here.signals.watch(BATCHES) as stirred:
            while True:
                stirred.clear()
                try:
                    await self.look()
                except Exception as error:
                    log.warning("batches could not be seen to: %s", type(error).__name__, exc_info=True)
                try:
                    async with asyncio.timeout(LOOK_SECONDS):
                        await stirred.wait()
                except TimeoutError:
                    continue

    async def look(self) -> None:
        """Do all that can be done now."""
        async with self._here.database.transaction() as session:
            query = select(col(Batch.user_id)).where(col(Batch.status).in_(MOVING)).distinct()
            users = list(await session.scalars(query))
        for user_id in users:
            while await self._one(user_id):
                pass

    async def _one(self, user_id: UUID) -> bool:
        """Do one thing for one of the user's batches, the oldest first. False when there is none."""
        async with self._here.database.transaction() as session:
            await hold_admission(session, user_id)
            moving = col(Batch.status).in_(MOVING) & (col(Batch.user_id) == user_id)
            oldest = select(Batch).where(moving).order_by(col(Batch.created_at), col(Batch.id))
            batches = list(await session.scalars(oldest.with_for_update()))
            taken = await slots_taken(session, user_id)
            slots = await self._here.product.slots(session, user_id)
            for batch in batches:
                members = await members_of(session, batch.id)
                places = [_place(*pair) for pair in members]
                act = next_act(_rules(batch), places, slots - taken, min(slots, AHEAD))
                if act is not None and not (isinstance(act, AskApproval) and batch.status == "waiting"):
                    await self._do(session, batch, members, act, taken)
                    return True
        return False

    async def _do(self, session: AsyncSession, batch: Batch, members: Members, act: Act, taken: int) -> None:
        match act:
            case Begin(run_id):
                await self._begin(session, batch, _of(members, run_id), taken)
            case Ready(run_id):
                await self._enqueue(session, *_of(members, run_id), taken)
            case LeaveOut(run_id, reason):
                await self._leave_out(session, *_of(members, run_id), reason)
            case AskApproval():
                batch.status, batch.message = "waiting", "Waits for your approval"
                await session.flush()
                await self._here.product.batch(session, batch.id, "waiting")
            case Merge():
                batch.status, batch.message, batch.round = "merging", "Merging", batch.round + 1
                await session.flush()
                workflow = f"{batch.id}:{batch.round}"
                await self._here.enqueuer.enqueue(session, "batch", MERGES, workflow, str(batch.id))
                await self._here.product.batch(session, batch.id, "merging")
            case Finish(status, reason):
                batch.status, batch.error, batch.message, batch.ended_at = status, reason, "", now()
                await session.flush()
                await self._here.product.batch(session, batch.id, status)

    async def _enqueue(self, session: AsyncSession, member: Member, run: Run, taken: int) -> None:
        """The user's how-manieth run at once is its place in the queue: nobody's batch goes before the first
        task of another."""
        member.readied = member.turn
        await session.flush()
        workflow = str(run.id) if member.turn == 1 else f"{run.id}:{member.turn}"
        await self._here.enqueuer.enqueue(session, "run", RUNS, workflow, str(run.id), priority=taken + 1)

    async def _begin(self, session: AsyncSession, batch: Batch, pair: tuple[Member, Run], taken: int) -> None:
        member, run = pair
        first = batch.started_at is None
        batch.started_at = batch.started_at or now()
        batch.status, batch.message = "running", ""
        run = await session.get_one(Run, run.id, with_for_update=True, populate_existing=True)
        if run.status in ENDED:
            return
        run.takes_slot, member.begun = True, member.turn
        run.message = run.message if member.readied == member.turn else "Queued"
        await session.flush()
        if member.readied < member.turn:
            await self._enqueue(session, member, run, taken)
        await stir(session, run.id)
        brief = await self._here.product.begins(session, run.id)
        if member.turn == 1:
            run.title, run.prompt = brief.title, brief.prompt
            await session.flush()
        if first:
            await self._here.product.batch(session, batch.id, "started")
        await self._here.product.batch(session, batch.id, "task:started", run.task_id)

    async def _leave_out(self, session: AsyncSession, member: Member, run: Run, reason: str) -> None:
        """One that was readied is cleared up after by its own workflow, which sees that it is over."""
        run = await session.get_one(Run, run.id, with_for_update=True, populate_existing=True)
        if run.status in ENDED:
            return
        run.status, run.error, run.error_kind = "failed", reason, "left_out"
        run.ended_at, run.message = now(), ""
        run.cleared_at = None if member.readied else now()
        await session.flush()
        await self._here.product.ended(session, run.id)
        await append(session, run, [Entry("status", "ended", message=reason, level="warning")])


async def members_of(session: AsyncSession, batch_id: UUID) -> Members:
    """The batch's runs in its order."""
    query = select(Member, Run).join(Run, col(Run.id) == col(Member.run_id))
    query = query.where(col(Member.batch_id) == batch_id).order_by(col(Member.position))
    rows = await session.execute(query.execution_options(populate_existing=True))
    return [(member, run) for member, run in rows]


def _of(members: Members, run_id: UUID) -> tuple[Member, Run]:
    return next(pair for pair in members if pair[1].id == run_id)


def _rules(batch: Batch) -> Rules:
    return Rules(
        queue=batch.mode == "queue",
        auto_approve=batch.auto_approve,
        stop_on_failure=batch.stop_on_failure,
        cancelling=batch.cancel_requested_at is not None,
    )


def _place(member: Member, run: Run) -> Place:
    stage = _stage(member, run)
    return Place(
        run_id=run.id,
        task_id=run.task_id,
        reference=run.reference,
        stage=stage,
        approved=member.approved_at is not None,
        waits_for=frozenset(UUID(task_id) for task_id in member.waits_for),
        again=member.turn > 1,
        readied=member.readied == member.turn,
        starting=stage == "running" and run.session_id is None,
    )


def _stage(member: Member, run: Run) -> Stage:
    if run.status in ("done", "failed", "cancelled"):
        return run.status  # type: ignore[return-value]
    if member.handed_in_at is not None:
        return "handed_in"
    return "running" if member.begun == member.turn else "waiting"
