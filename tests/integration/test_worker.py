"""One process a name: two would both carry on the runs that belong to it."""

import asyncio

import psycopg
import pytest

from engine import worker
from engine.db import Database
from engine.worker import Name


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "HEARTBEAT_SECONDS", 0.05)


async def test_the_second_waits_for_the_first(engine_database: Database) -> None:
    first, second = (Name(engine_database.libpq_url, "main") for _ in range(2))
    await first.claim()
    waiting = asyncio.create_task(second.claim())
    await asyncio.sleep(0.3)
    assert not waiting.done()
    other = Name(engine_database.libpq_url, "other")
    await other.claim()
    _disconnect(engine_database)
    async with asyncio.timeout(5):
        await waiting


async def test_one_that_lost_its_name_ends(engine_database: Database) -> None:
    first, second = (Name(engine_database.libpq_url, "main") for _ in range(2))
    await first.claim()
    holding = asyncio.create_task(first.serve())
    _disconnect(engine_database)
    await second.claim()
    async with asyncio.timeout(5):
        with pytest.raises(RuntimeError, match="another worker has taken the name"):
            await holding


async def test_one_that_was_only_cut_off_claims_it_anew(engine_database: Database) -> None:
    name = Name(engine_database.libpq_url, "main")
    await name.claim()
    holding = asyncio.create_task(name.serve())
    _disconnect(engine_database)
    await asyncio.sleep(0.5)
    assert not holding.done()
    holding.cancel()


def _disconnect(database: Database) -> None:
    """End every connection."""
    with psycopg.connect(database.libpq_url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
