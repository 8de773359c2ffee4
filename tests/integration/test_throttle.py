"""How often somebody may try, with a crowd at the door."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlmodel import col

from openlinear import db
from openlinear.models import Attempt
from openlinear.models.columns import now
from openlinear.services import throttle
from openlinear.services.errors import TooMany

pytestmark = pytest.mark.usefixtures("product")


async def test_a_try_waits_for_nobody_elses() -> None:
    """Two who clear each other's old tries could each wait for the other."""
    await throttle.admit("login as", "ada", 3)
    async with db.transaction() as session:
        (attempt,) = await session.scalars(select(Attempt))
        attempt.tried_at = now() - 2 * throttle.WINDOW
    async with db.transaction() as session:
        assert await session.scalar(select(Attempt).where(col(Attempt.id) == attempt.id).with_for_update())
        async with asyncio.timeout(5):
            await throttle.admit("login as", "bo", 3)


async def test_old_tries_do_not_count_and_a_burst_does() -> None:
    async with db.transaction() as session:
        old = now() - throttle.WINDOW - timedelta(seconds=1)
        session.add_all(Attempt(key=throttle._key("login as", "ada"), tried_at=old) for _ in range(5))
    answers = await asyncio.gather(
        *(throttle.admit("login as", "ada", 3) for _ in range(8)), return_exceptions=True
    )
    assert sum(isinstance(answer, TooMany) for answer in answers) == 5
    async with db.transaction() as session:
        assert len(list(await session.scalars(select(Attempt)))) == 3
