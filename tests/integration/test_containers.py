"""Who needs a sandbox, and what becomes of one that nobody needs. A fake at the port keeps the books."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from engine.containers import Containers
from engine.db import Database
from engine.models import Run
from engine.ports import Box, BoxState, Report, Sandbox
from engine.settings import EngineSettings
from tests.support.engine import new_run, recorder_of


class Shelf:
    """Sandboxes as a dictionary, with what was done to them in order."""

    def __init__(self) -> None:
        self.states: dict[UUID, BoxState] = {}
        self.done: list[str] = []
        self.waking = asyncio.Event()
        self.waking.set()

    async def ensure(self, user_id: UUID, report: Report) -> Box:
        await self.waking.wait()
        self.done.append("create" if user_id not in self.states else "wake")
        self.states[user_id] = "running"
        return Box(user_id, "http://127.0.0.1:1", "", PurePosixPath("/r"), PurePosixPath("/o"))

    async def pause(self, user_id: UUID) -> None:
        self.done.append("pause")
        self.states[user_id] = "paused"

    async def remove(self, user_id: UUID) -> None:
        self.done.append("remove")
        self.states.pop(user_id, None)

    async def found(self) -> dict[UUID, BoxState]:
        return dict(self.states)

    async def rest(self) -> None:
        self.done.append("rest")

    async def clear_trials(self, *, under_way: bool = False) -> list[UUID]:
        self.done.append(f"clear trials, {under_way=}")
        return []


async def quiet(_: str) -> None: ...


class House:
    """The containers of one user, and their runs."""

    def __init__(self, database: Database, **settings: Any) -> None:
        self.database = database
        self.shelf = Shelf()
        self.user = uuid4()
        configured = EngineSettings(database_url=database.url, **settings)
        self.containers = Containers(database, cast(Sandbox, self.shelf), configured)

    async def run(self) -> UUID:
        async with self.database.transaction() as session:
            run = Run(**asdict(new_run(self.user)), branch="b")
            session.add(run)
        return run.id

    async def lease(self) -> UUID:
        run_id = await self.run()
        await self.containers.lease(recorder_of(self.database, run_id), self.user, quiet)
        return run_id

    async def used(self, interval: str) -> None:
        """Let the last use be so long ago."""
        async with self.database.transaction() as session:
            await session.execute(text(f"UPDATE containers SET used_at = now() - interval '{interval}'"))


@pytest.fixture
async def house(engine_database: Database) -> AsyncIterator[House]:
    yield House(engine_database)


async def test_two_runs_at_once_make_one(house: House) -> None:
    await asyncio.gather(house.lease(), house.lease())
    assert house.shelf.done == ["create", "wake"]


async def test_it_rests_when_the_last_run_is_over_and_not_before(house: House) -> None:
    first, second = await house.lease(), await house.lease()
    await house.containers.release(first, house.user)
    await house.containers.sweep()
    assert house.shelf.states[house.user] == "running"
    await house.containers.release(second, house.user)
    await house.containers.sweep()
    assert house.shelf.states[house.user] == "paused"
    await house.lease()
    assert house.shelf.states[house.user] == "running"


async def test_it_goes_after_the_whole_timeout(house: House) -> None:
    run_id = await house.lease()
    await house.used("3 hours")
    await house.containers.sweep()
    assert house.shelf.states, "a run needs it, however long it takes"
    await house.containers.release(run_id, house.user)
    await house.used("119 minutes")
    await house.containers.sweep()
    assert house.shelf.states == {house.user: "paused"}
    await house.used("121 minutes")
    await house.containers.sweep()
    assert house.shelf.states == {}


async def test_a_sweep_leaves_alone_what_is_being_woken(house: House) -> None:
    await house.containers.release(await house.lease(), house.user)
    house.shelf.waking.clear()
    waking = asyncio.create_task(house.lease())
    await asyncio.sleep(0.2)
    await house.containers.sweep()
    house.shelf.waking.set()
    await waking
    assert house.shelf.done == ["create", "wake"]


async def test_one_found_without_a_row_is_taken_in(house: House) -> None:
    """A restored database, say: it gets its time to rest, then goes like any other."""
    house.shelf.states[house.user] = "running"
    await house.containers.sweep()
    await house.containers.sweep()
    assert house.shelf.states == {house.user: "paused"}


async def test_parking_freezes_what_a_run_needs_and_removes_the_rest(house: House) -> None:
    await house.lease()
    idle = uuid4()
    house.shelf.states[idle] = "paused"
    await house.containers.park()
    assert house.shelf.states == {house.user: "paused"}
    assert "clear trials, under_way=True" in house.shelf.done
    assert house.shelf.done[-1] == "rest"


async def test_leasing_twice_is_leasing_once(house: House) -> None:
    run_id = await house.lease()
    await house.containers.lease(recorder_of(house.database, run_id), house.user, quiet)
    await house.containers.release(run_id, house.user)
    await house.containers.release(run_id, house.user)
    await house.containers.sweep()
    assert house.shelf.states == {house.user: "paused"}
