"""What a worker is called, and what becomes of one that was struck off."""

import asyncio
import os
import signal
import subprocess

import psycopg
import pytest

from engine import worker
from engine.db import Database
from engine.process import _started, end_for_good, process_id
from engine.worker import Name


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "NAME_SECONDS", 0.05)


async def test_a_name_that_is_taken_gets_a_number(engine_database: Database) -> None:
    first, second, third = (Name(engine_database.libpq_url, "main") for _ in range(3))
    assert [await name.claim() for name in (first, second, third)] == ["main", "main-2", "main-3"]


async def test_a_name_is_free_when_its_process_is_gone(engine_database: Database) -> None:
    await Name(engine_database.libpq_url, "main").claim()
    _disconnect(engine_database)
    assert await Name(engine_database.libpq_url, "main").claim() == "main"


async def test_one_that_was_only_cut_off_holds_its_name_again(engine_database: Database) -> None:
    name = Name(engine_database.libpq_url, "main")
    await name.claim()
    holding = asyncio.create_task(name.serve())
    _disconnect(engine_database)
    await asyncio.sleep(0.5)
    assert await Name(engine_database.libpq_url, "main").claim() == "main-2"
    holding.cancel()


def test_a_frozen_process_that_was_struck_off_is_killed_and_no_other() -> None:
    sleeper = subprocess.Popen(["sleep", "600"])
    try:
        machine, _, _, unique = process_id().rsplit(":", 3)
        started = _started(sleeper.pid)
        os.kill(sleeper.pid, signal.SIGSTOP)
        for stranger in (
            f"another-host:1:{sleeper.pid}:{started}:{unique}",
            f"{machine}:{sleeper.pid}:{int(started or 0) + 1}:{unique}",  # the pid is used again
        ):
            end_for_good(stranger)
            assert sleeper.poll() is None
        end_for_good(f"{machine}:{sleeper.pid}:{started}:{unique}")
        assert sleeper.wait(5) == -signal.SIGKILL
    finally:
        sleeper.kill()


def _disconnect(database: Database) -> None:
    """End every connection."""
    with psycopg.connect(database.libpq_url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
