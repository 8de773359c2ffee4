"""Clearing up, while a web process serves."""

import asyncio
import logging

from openlinear import db
from openlinear.services import housekeeping

log = logging.getLogger(__name__)

EVERY = 24 * 3600.0
"""Seconds between two times."""


async def keep_house() -> None:
    """Clear up now and once a day, until cancelled."""
    while True:
        try:
            async with db.transaction() as session:
                await housekeeping.sweep(session)
        except Exception:
            log.exception("Clearing up failed; it is tried again tomorrow")
        await asyncio.sleep(EVERY)
