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


async def test_an_address_counts_as_what_one_caller_chooses_from() -> None:
    """Whoever has a network of IPv6 has as many addresses as they like."""
    for near in ("2001:db8:1:1::1", "2001:db8:1:1:ffff::1", "192.0.2.1"):
        await throttle.admit("login from", near, 2)
    for over in ("2001:db8:1:1::2", "2001:db8:1:1::1"):
        with pytest.raises(TooMany):
            await throttle.admit("login from", over, 2)
    await throttle.admit("login from", "2001:db8:1:2::1", 2)
    # As a server hears of IPv4 on a socket of IPv6.
    await throttle.admit("login from", "::ffff:192.0.2.1", 2)
    await throttle.admit("login from", "::ffff:192.0.2.2", 2)
    with pytest.raises(TooMany):
        await throttle.admit("login from", "192.0.2.1", 2)
