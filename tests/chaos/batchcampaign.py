"""Hurt an instance while batches of eight are under way, then look at every end."""

import asyncio
import logging
from collections.abc import Iterable
from random import Random

from tests.chaos.batchend import wrong_batch
from tests.chaos.batches import Batch, Batches
from tests.chaos.campaign import inflict_all
from tests.chaos.faults import (
    CUTS,
    MILD,
    SESSION,
    Fault,
    Hand,
    Moment,
    Strike,
    drawn_fault,
    fault_at,
    schedule,
)
from tests.chaos.instance import Instance
from tests.chaos.ledger import Results, table
from tests.chaos.rightend import all_over, left_behind

log = logging.getLogger("chaos")

MERGE_STEPS = (
    *("assemble", "verify", "publish_batch", "propose_batch"),
    *("settle", "finish_batch", "clear_batch"),
)
STEPS = ("converse", "collect", "hand_in", *MERGE_STEPS)
"""A run of a batch ends with `hand_in`; in a queue, that is where one task is followed by the next."""
WAITING, APPROVING = Moment("waiting"), Moment("approving")
"""Before somebody's word is given, and when it is on its way."""
ATTENDED = (WAITING, APPROVING)
ATTENDED_SECONDS = 600.0
AT_ONE_WAIT = 3
"""Faults before an approval is let through."""
UNDER_WAY = 2
"""Batches at once, beside one that waits for somebody's word. The agents of one alone are at work: those of
several make each other late."""


def batch_schedule(draw: Random) -> list[Fault]:
    """The worker and the database at each boundary of the merge, and between two tasks; a session's end while
    agents are at work and while a batch waits; a lost approval; cuts."""
    faults = schedule(draw, {}, MERGE_STEPS)
    sides = zip(MILD[:2], draw.sample(("done", "recorded"), 2), strict=True)
    faults += [fault_at(draw, part, Moment("hand_in", side)) for part, side in sides]
    faults += [drawn_fault(draw, part, ()) for part in (draw.choice(SESSION), *CUTS)]
    faults += [fault_at(draw, part, WAITING) for part in ("worker", "web", draw.choice(SESSION))]
    return [*faults, fault_at(draw, "postgres", APPROVING)]


def drawn_batch_fault(draw: Random, part: str) -> Fault:
    """At any boundary or instant of a batch, or while it waits."""
    if draw.random() < 0.2:
        return fault_at(draw, part, APPROVING if part in ("web", "postgres") else WAITING)
    return drawn_fault(draw, part, STEPS)


async def batch_campaign(
    instance: Instance, batches: Batches, faults: Iterable[Fault], draw: Random
) -> Results:
    """As `campaign`, for batches."""
    hand, enough = Hand(instance, batches, draw), asyncio.Event()
    attended = [fault for fault in faults if fault.moment in ATTENDED]
    others = [fault for fault in faults if fault.moment not in ATTENDED]
    pressing = asyncio.create_task(_press(batches, attended, enough))
    attending = asyncio.create_task(_attend(instance, batches, hand, attended, draw, pressing))
    try:
        await inflict_all(hand, others, pressing, attending)
        enough.set()
        async with asyncio.timeout(ATTENDED_SECONDS):
            await asyncio.gather(pressing, attending)
    finally:
        pressing.cancel()
        attending.cancel()
        await hand.settle()
    return await judge_batches(instance, batches, hand.strikes)


async def _press(batches: Batches, attended: list[Fault], enough: asyncio.Event) -> None:
    """Keep so many under way, and one that asks for as long as there are faults for it."""
    asking: Batch | None = None
    while not enough.is_set() or attended:
        opened, at_work = await batches.open(), await batches.at_work()
        pressed = [one for one in opened if one is not asking]
        room = len(pressed) < UNDER_WAY and not any(one in at_work for one in pressed)
        if attended and asking not in opened:
            asking = await batches.begin("queue", asks=True)
        elif room and not enough.is_set():
            await batches.begin("queue" if len(batches.begun) % 4 == 3 else "parallel")
        await asyncio.sleep(0.1)


async def _attend(
    instance: Instance,
    batches: Batches,
    hand: Hand,
    faults: list[Fault],
    draw: Random,
    pressing: "asyncio.Task[None]",
) -> None:
    """Look at whatever waits and approve it, with some of the faults just before or meanwhile, until all is
    over. Each fault that came to pass leaves the list."""
    while not pressing.done() or await batches.open():
        for batch in await batches.waiting():
            struck = 0
            for fault in draw.sample(faults, len(faults)):
                if struck < AT_ONE_WAIT and await _hit(instance, batches, hand, fault, batch):
                    log.warning("%s, %s", fault.part, fault.moment)
                    faults.remove(fault)
                    struck += 1
                    await instance.whole()
            if draw.random() < 0.5:
                await batches.approve_unheard(batch)
            await batches.approve(batch)
        await asyncio.sleep(0.05)


async def _hit(instance: Instance, batches: Batches, hand: Hand, fault: Fault, batch: Batch) -> bool:
    if fault.moment == WAITING:
        return await hand.strike(fault, batch.run)
    await instance.whole()
    held = await batches.hold_approval(batch)
    struck = await hand.strike(fault, batch.run)
    assert await held.let_go() != 202 or not struck, "the approval was to be lost"
    return struck


async def judge_batches(instance: Instance, batches: Batches, strikes: list[Strike]) -> Results:
    """Wait for every end and look at each, and at what is left; AssertionError says all that is wrong."""
    await all_over(instance, [*batches.begun, *(task for batch in batches.begun for task in batch.tasks)])
    met = [Strike(one.fault, sorted({batches.of(run).run for run in one.runs})) for one in strikes]
    results, complaints = Results(met), []
    for batch in batches.begun:
        found, attempt = await wrong_batch(instance, batch)
        if found:
            complaints.append(f"batch {batch.run}, hurt by {batch.hits}: {'; '.join(found)}")
        else:
            results.attempts[batch.run] = attempt
    complaints += await left_behind(instance)
    assert not complaints, "\n".join([table(results, "batches"), *complaints])
    return results
