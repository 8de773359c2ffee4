"""Hurt an instance with one fault after the other while people press Execute, then look at every end."""

import asyncio
import logging
from collections.abc import Iterable
from random import Random

from tests.chaos.crowd import Crowd
from tests.chaos.faults import CUTS, Fault, Hand, Strike
from tests.chaos.instance import Instance
from tests.chaos.ledger import Results, table
from tests.chaos.rightend import all_over, left_behind, wrong

log = logging.getLogger("chaos")

UNDER_WAY = 4
"""Runs at once: each fault hits several."""
SPACING_SECONDS = 0.1
MISSES = 3000
STALLED_SECONDS = 180.0
"""A fault that takes longer than this never comes: better to fail than to wait for it."""


async def campaign(instance: Instance, crowd: Crowd, faults: Iterable[Fault], draw: Random) -> Results:
    """Every fault comes to pass, and every run comes to its right end; AssertionError says what was wrong."""
    hand = Hand(instance, crowd, draw)
    enough = asyncio.Event()
    pressing = asyncio.create_task(_press(crowd, enough))
    try:
        await inflict_all(hand, faults, pressing)
    finally:
        enough.set()
        await asyncio.gather(pressing, hand.settle())
    return await judge(instance, crowd, hand.strikes)


async def inflict_all(hand: Hand, faults: Iterable[Fault], *alongside: "asyncio.Task[None]") -> None:
    """Each once, as their moments come, for as long as nothing goes wrong `alongside`."""
    waiting, misses = list(faults), 0
    while waiting:
        for one in alongside:
            if one.done():
                one.result()
        async with asyncio.timeout(STALLED_SECONDS):
            done = await hand.inflict(_in_turn(waiting))
        if done is not None:
            log.warning("%s, %s", done.part, done.moment)
            waiting.remove(done)
        else:
            misses += 1
            assert misses < MISSES, f"the moments never come for {waiting}"
        await asyncio.sleep(SPACING_SECONDS)


async def _press(crowd: Crowd, enough: asyncio.Event) -> None:
    """Keep so many runs under way."""
    while not enough.is_set():
        if len(await crowd.under_way()) < UNDER_WAY:
            await crowd.begin()
        await asyncio.sleep(0.1)


def _in_turn(waiting: list[Fault]) -> list[Fault]:
    """Cuts come last: a run that has spent an attempt on one has none left for its session's end."""
    return [fault for fault in waiting if fault.part not in CUTS] or waiting


async def judge(instance: Instance, crowd: Crowd, strikes: list[Strike]) -> Results:
    """Wait for every end and look at each, and at what is left; AssertionError says all that is wrong."""
    await all_over(instance, crowd.tasks)
    results, complaints = Results(strikes), []
    for task in crowd.tasks:
        found, attempt = await wrong(instance, task)
        if found:
            complaints.append(f"{task.name} (run {task.run}, hurt by {task.hits}): {'; '.join(found)}")
        else:
            results.attempts[task.run] = attempt
    complaints += await left_behind(instance)
    assert not complaints, "\n".join([table(results), *complaints])
    return results
