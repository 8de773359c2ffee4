"""How much of the disk one user's agents, or their checks, may take, looked after while they work.

The free space of the disk is asked each second, which costs nothing. What is in the box is counted only when
that has shrunk, since counting reads every folder. What cannot be counted is no less than too much: whoever
fills a disk would rather not be counted.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from engine.errors import RunError
from engine.ports import Box
from engine.world import World

LOOK_SECONDS = 1.0
COUNT_SECONDS = 60.0
HURRIED_SECONDS = 15.0
"""How long a count may take where the disk runs short: it fills meanwhile."""
AGAIN_SECONDS = 10.0
"""While it is short, it is counted again after so long, or when still less is free."""
GRACE_SECONDS = 30.0
"""After one was stopped on a mere suspicion, so long nobody else is: what it held is freed meanwhile."""
LEAST_SHARE = 4
"""Where the disk runs short, whoever has more than a quarter of what they may have is stopped."""

T = TypeVar("T")


class Outgrown(RunError):
    """The box is over its own bound, which is its own doing: the server's disk may have room."""


async def guarded(here: World, box: Box, work: Coroutine[Any, Any, T]) -> T:
    """What the work comes to, unless its box outgrows its bound, or takes the host's reserve (RunError)."""
    watch = _Watch(here, box)
    working, watching = asyncio.ensure_future(work), asyncio.ensure_future(watch.keep())
    _under_way.append(watch)
    try:
        await asyncio.wait([working, watching], return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            watching.result()
        return await working
    finally:
        _under_way.remove(watch)
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


class _Watch:
    """One box, while something works in it. Sizes are bytes."""

    suspected_at = float("-inf")
    """When one was last stopped on a mere suspicion, in this process."""

    def __init__(self, here: World, box: Box) -> None:
        self.sandbox = here.sandbox
        self.box = box
        self.most = _bytes(here.settings.user_disk_gb)
        self.share = self.most // LEAST_SHARE
        self.reserve = _bytes(here.settings.disk_reserve_gb)
        self.highest = 0
        """The most that was free since the work began."""
        self.first: int | None = None
        self.taken: int | None = None
        """As counted first and last; None before that, and where it failed."""

    @property
    def growth(self) -> int:
        return (self.taken or 0) - (self.first or 0)

    async def keep(self) -> None:
        """Until there is a reason to stop the work: RunError."""
        known = self.highest = await self.sandbox.free_bytes()
        clock = asyncio.get_running_loop().time
        again = 0.0
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            free = await self.sandbox.free_bytes()
            self.highest, known = max(self.highest, free), max(known, free)
            if free > self.reserve:
                if free > known - self.share:
                    continue
            elif free > known - self.reserve // 8 and clock() < again:
                continue
            self.taken = await self._count()
            if self.first is None:
                self.first = self.taken
            known, again = free, clock() + AGAIN_SECONDS
            self._judge(await self.sandbox.free_bytes())

    def _judge(self, free: int) -> None:
        whose = "your checks have" if self.box.trial else "your agents have"
        if self.taken is not None and self.taken > self.most:
            raise Outgrown(
                f"What {whose} written takes {_said(self.taken)}, and each user may have {_said(self.most)} "
                "(USER_DISK_GB). Remove what is not needed, or ask whoever runs this server for more.",
                "disk",
            )
        if free > self.reserve:
            return
        if self.taken is None or self.taken > self.share or self._suspect(free):
            took = "could not be counted" if self.taken is None else f"takes {_said(self.taken)}"
            raise RunError(
                f"The server's disk is nearly full: {_said(free)} are left, and what {whose} written {took}. "
                "Whoever runs it can make room (Storage), or lower DISK_RESERVE_GB.",
                "disk",
            )

    def _suspect(self, free: int) -> bool:
        """Whether this one has grown most of all, where nobody's count explains what the disk has lost."""
        peers = [one for one in _under_way if one.sandbox is self.sandbox]
        if any(one.first is None for one in peers):
            return False  # each counts within a moment, or is stopped for want of a count
        counted = sum({(one.box.user_id, one.box.trial): one.taken or 0 for one in peers}.values())
        lost = [one for one in peers if one.highest - free - counted > self.reserve // 2]
        now = asyncio.get_running_loop().time()
        if not lost or self is not max(lost, key=lambda one: one.growth):
            return False
        if now < _Watch.suspected_at + GRACE_SECONDS:
            return False
        _Watch.suspected_at = now
        return True

    async def _count(self) -> int | None:
        """Bytes that the box takes; None where that fails, or takes too long."""
        clock = asyncio.get_running_loop().time
        began = clock()
        counting = asyncio.ensure_future(self.sandbox.taken(self.box))
        try:
            while not counting.done():
                await asyncio.wait([counting], timeout=max(LOOK_SECONDS, 0.01))
                short = await self.sandbox.free_bytes() <= self.reserve
                if not counting.done() and clock() - began > (HURRIED_SECONDS if short else COUNT_SECONDS):
                    return None
            return counting.result()
        except RunError:
            return None
        finally:
            counting.cancel()
            await asyncio.gather(counting, return_exceptions=True)


_under_way: list[_Watch] = []
"""In this process, whose loop is one."""


def _bytes(gigabytes: float) -> int:
    return int(gigabytes * (1 << 30))


def _said(amount: int) -> str:
    return f"{amount / (1 << 30):.1f} GB"
