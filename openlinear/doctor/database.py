"""The database: whether it answers, is up to date, keeps the same time, and opens with our key."""

import asyncio
import time

import psycopg
from sqlalchemy import select, text
from sqlmodel import col

from openlinear import schema, vault
from openlinear.doctor.finding import CONNECT_SECONDS, Check, Finding, Ground, fine, secret, warn, wrong
from openlinear.models import Identity, Project, Provider
from openlinear.services.credentials import IDENTITY, PROVIDER, REMOTE

SKEW_NOTED, SKEW_WRONG = 2.0, 10.0


async def database(ground: Ground) -> Finding:
    if ground.embedded is not None and not await asyncio.to_thread(ground.embedded.running):
        return await _embedded_is_down(ground)
    kind = "Embedded" if ground.embedded is not None else "DATABASE_URL's"
    try:
        version = await asyncio.to_thread(_version, ground.url)
    except psycopg.Error as error:
        return wrong(
            "Database",
            f"{kind} PostgreSQL does not answer: {_why(error)}.",
            "Start the server, or correct DATABASE_URL. Runs under way wait for it.",
        )
    return fine("Database", f"{kind} PostgreSQL {version} answers.")


async def _embedded_is_down(ground: Ground) -> Finding:
    embedded = ground.embedded
    if await ground.serving():
        return wrong(
            "Database",
            "The board runs, but its embedded PostgreSQL does not answer.",
            f"Restart `openlinear up`; what went wrong is in {ground.home / 'logs' / 'postgres.log'}.",
        )
    made = embedded is not None and embedded.data.exists()
    what = "is not running" if made else "has not been made yet"
    return warn("Database", f"The embedded PostgreSQL {what}.", "`openlinear up` starts it.")


def _version(url: str) -> str:
    plain = url.replace("postgresql+psycopg://", "postgresql://", 1)
    with psycopg.connect(plain, connect_timeout=CONNECT_SECONDS) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    return str(row[0]) if row else "unknown"


def _why(error: psycopg.Error) -> str:
    """The server's own words. libpq names hosts and users, never passwords."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200].rstrip(".")


async def tables(ground: Ground) -> Finding:
    async with ground.session() as session:
        there = await session.scalar(text("SELECT to_regclass('runs') IS NOT NULL"))
    if await asyncio.to_thread(schema.current, ground.url):
        return fine("Tables", "As this version wants them.")
    return wrong(
        "Tables",
        "They are of another version." if there else "There are none.",
        "Run `openlinear migrate`, or `openlinear up`, which does it at each start.",
    )


async def clock(ground: Ground) -> Finding:
    async with ground.session() as session:
        await session.execute(text("SELECT 1"))  # so that connecting is not part of the way there and back
        before = time.time()
        theirs = float(await session.scalar(text("SELECT extract(epoch FROM clock_timestamp())")) or 0)
        skew = theirs - (before + time.time()) / 2
    if abs(skew) < SKEW_NOTED:
        return fine("Clock", f"The database's and this machine's differ by {abs(skew):.2f} s.")
    return Finding(
        "error" if abs(skew) > SKEW_WRONG else "warning",
        "Clock",
        f"The database's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} this machine's.",
        "Let both keep time by NTP (`timedatectl set-ntp true`): heartbeats and logins go by the clock.",
    )


async def sealed(ground: Ground) -> Finding | None:
    """One secret of each kind is opened, and forgotten: a restored database may belong to another key."""
    key = secret("OPENLINEAR_SECRET_KEY") or _kept(ground)
    if not key:
        return None
    async with ground.session() as session:
        kept = select(col(Project.remote_secret)).where(col(Project.remote_secret).is_not(None))
        tokens = select(col(Identity.token_secret)).where(col(Identity.token_secret).is_not(None))
        samples = {
            REMOTE: await session.scalar(kept.limit(1)),
            IDENTITY: await session.scalar(tokens.limit(1)),
            PROVIDER: await session.scalar(select(col(Provider.key_secret)).limit(1)),
        }
    if not all(vault.opens(key, purpose, one) for purpose, one in samples.items() if one is not None):
        return wrong(
            "Sealed",
            "What is sealed in the database does not open with OPENLINEAR_SECRET_KEY.",
            "Put back the key that belongs to this database. Without it, everybody enters their "
            "credentials and provider keys again.",
        )
    if not any(samples.values()):
        return None
    return fine("Sealed", "Credentials in the database open with our key.")


def _kept(ground: Ground) -> str:
    try:
        return (ground.home / "secrets" / "openlinear_secret_key").read_text().strip()
    except OSError:
        return ""


CHECKS: tuple[Check, ...] = (database, tables, clock, sealed)
