"""A box that is there for as long as it is looked at, and certainly not longer."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from engine.ports import Box

log = logging.getLogger(__name__)


@asynccontextmanager
async def passing(
    make: Callable[[], Coroutine[Any, Any, Box]], remove: Callable[[Box], Awaitable[None]]
) -> AsyncIterator[Box]:
    """Make a box, lend it, remove it: on an error too, and whoever is cancelled meanwhile.

    What is being made cannot be removed before it is there, so a cancellation waits for that.
    """
    making = asyncio.ensure_future(make())
    try:
        yield await asyncio.shield(making)
    finally:
        await asyncio.shield(_end(making, remove))


async def _end(making: asyncio.Future[Box], remove: Callable[[Box], Awaitable[None]]) -> None:
    """Remove what was made, if anything. What cannot be removed now is a left-over (`clear_trials`)."""
    await asyncio.wait([making])
    if making.cancelled() or making.exception() is not None:
        return
    try:
        await remove(making.result())
    except Exception as error:
        log.warning("the box of a trial could not be removed: %s", error)
