"""How much of the disk one user's agents may take, looked after while they work.

The free space of the disk is asked each second, which costs nothing. What the user's files take is counted
only when it has shrunk, since counting reads every folder.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from engine.errors import RunError
from engine.ports import Box
from engine.world import World

LOOK_SECONDS = 1.0
COUNT_SECONDS = 60.0
LEAST_SHARE = 4
"""Where the disk runs short, whoever has more than a quarter of what they may have is stopped."""


async def guarded(here: World, box: Box, work: Coroutine[Any, Any, None]) -> None:
    """Do the work to its end, unless the user's files grow beyond their bound, or take the host's reserve."""
    tasks = [asyncio.ensure_future(work), asyncio.ensure_future(_watch(here, box))]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _watch(here: World, box: Box) -> None:
    most, reserve = (_bytes(gb) for gb in (here.settings.user_disk_gb, here.settings.disk_reserve_gb))
    known = await here.sandbox.free_bytes()
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        free = await here.sandbox.free_bytes()
        if free > known - most // LEAST_SHARE and free > reserve:
            continue
        known = free
        taken = await _taken(here, box)
        if taken > most:
            raise RunError(
                f"What your agents have written takes {_said(taken)}, and each user may have {_said(most)} "
                "(USER_DISK_GB). Remove what is not needed, or ask whoever runs this server for more.",
                "disk",
            )
        if free <= reserve and taken > most // LEAST_SHARE:
            raise RunError(
                f"The server's disk is nearly full: {_said(free)} are left, and your agents have written "
                f"{_said(taken)}. Whoever runs it can make room (Storage), or lower DISK_RESERVE_GB.",
                "disk",
            )


async def _taken(here: World, box: Box) -> int:
    """Bytes that the user's files take in their sandbox, without what they borrow; 0 where that fails."""
    count = ["du", "-sk", f"--exclude={box.objects}", str(box.repos.parent)]
    try:
        counted = await here.sandbox.exec(box, count, timeout=COUNT_SECONDS, limit=1 << 20)
    except RunError:  # a sandbox that died is for others to tell
        return 0
    kilobytes = counted.stdout.split()[:1]
    return int(kilobytes[0]) << 10 if kilobytes and kilobytes[0].isdigit() else 0


def _bytes(gigabytes: float) -> int:
    return int(gigabytes * (1 << 30))


def _said(amount: int) -> str:
    return f"{amount / (1 << 30):.1f} GB"
