"""What the engine's health means for a person, looked at once for all browsers of this process."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel.ext.asyncio.session import AsyncSession

from engine.client import Health
from openlinear import db
from openlinear.engine_client import engine_client

log = logging.getLogger(__name__)

LOOK_EVERY = 15.0
"""Seconds between two looks when nobody opens a page."""


@dataclass(frozen=True)
class Vitals:
    """One line at most: `trouble` is what is wrong, `hint` what one should know. `at` in milliseconds."""

    trouble: str = ""
    hint: str = ""
    at: int = 0


class Monitor:
    """Remembers the last look, and tells when one differs from it."""

    def __init__(self) -> None:
        self._last = Vitals()
        self._looking = asyncio.Lock()
        self.tell: Callable[[Vitals], Awaitable[None]] | None = None

    async def look(self, session: AsyncSession) -> Vitals:
        """How the engine is now. What one browser finds out, all are told."""
        async with self._looking:
            now = said(await engine_client().health(session))
            before, self._last = self._last, now
            if self.tell is not None and (now.trouble, now.hint) != (before.trouble, before.hint):
                await self.tell(now)
        return now

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            try:
                async with db.transaction() as session:
                    await self.look(session)
            except (SQLAlchemyError, OSError) as error:
                log.warning("the engine's health could not be read: %s", type(error).__name__)
            await asyncio.sleep(LOOK_EVERY)


def said(health: Health) -> Vitals:
    at = time.time_ns() // 1_000_000
    if health.workers == 0:
        return Vitals(
            "No engine is running, so tasks wait in the queue. Start one with `openlinear up`.", at=at
        )
    if health.trouble:
        return Vitals(health.trouble, at=at)
    if health.sandbox == "process":
        return Vitals(hint="Agents run on this machine without a container.", at=at)
    return Vitals(at=at)


monitor = Monitor()
