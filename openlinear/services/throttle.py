"""How often somebody may try. Kept in the database, so that it holds across web processes."""

import hashlib
import ipaddress
from datetime import timedelta

from sqlalchemy import delete, func, select
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear import db
from openlinear.models import Attempt
from openlinear.models.columns import now
from openlinear.services.errors import TooMany

WINDOW = timedelta(minutes=15)


async def admit(what: str, who: str, limit: int) -> None:
    """Count a try by `who`, or raise TooMany when the window holds `limit` already.

    An address counts as its `network`. In a transaction of its own: a try counts even when what follows is
    rolled back.
    """
    key = _key(what, who)
    async with db.transaction() as session:
        # One at a time for each key, or a burst would be counted before any of it is written.
        await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(key, 0))))
        # Its own old tries only: the rows of others would be locked in another order than by them.
        old = col(Attempt.tried_at) < now() - WINDOW
        await session.execute(delete(Attempt).where(col(Attempt.key) == key, old))
        count, oldest = (
            await session.execute(
                select(func.count(), func.min(col(Attempt.tried_at))).where(col(Attempt.key) == key)
            )
        ).one()
        if count >= limit:
            wait = max(1, int((oldest + WINDOW - now()).total_seconds()) + 1)
            raise TooMany(f"Too many tries. Try again in {_said(wait)}.", wait)
        session.add(Attempt(key=key))


async def forget(session: AsyncSession, what: str, who: str) -> None:
    """It worked: earlier tries no longer count against them."""
    await session.execute(delete(Attempt).where(col(Attempt.key) == _key(what, who)))


def _key(what: str, who: str) -> str:
    # Whoever tries may have sent half of a surrogate pair.
    return hashlib.sha256(f"{what}\0{network(who)}".encode(errors="surrogatepass")).hexdigest()


def network(host: str) -> str:
    """What one caller can choose addresses from: with IPv6, a network of 64 bits is one household's.

    What is no address is itself, and what stands for an IPv4 address is that one.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    return str(address.ipv4_mapped or ipaddress.ip_network((int(address), 64), strict=False))


def _said(seconds: int) -> str:
    return f"{seconds} seconds" if seconds < 90 else f"{-(-seconds // 60)} minutes"
