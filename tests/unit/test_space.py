"""When a run is stopped for what its user's agents take of the disk."""

import asyncio
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from engine import space
from engine.errors import RunError
from engine.ports import Box
from engine.settings import EngineSettings
from engine.world import World

GB = 1 << 30


class Disk:
    """A fake at the Sandbox port: what is free, and what boxes take; None where nobody can count."""

    def __init__(self, free: float, taken: float | None) -> None:
        self.free, self.taken_gb = free, taken
        self.of: dict[UUID, float] = {}
        self.counted = 0
        self.hangs = False

    async def free_bytes(self) -> int:
        return int(self.free * GB)

    async def taken(self, box: Box) -> int:
        self.counted += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.taken_gb is None:
            raise RunError("not all could be read", "sandbox")
        return int(self.of.get(box.user_id, self.taken_gb) * GB)


def _box() -> Box:
    return Box(uuid4(), "", "", PurePosixPath("/home/repos"), PurePosixPath("/home/objects"))


async def guarded(disk: Disk, work: Any, monkeypatch: pytest.MonkeyPatch, box: Box | None = None) -> None:
    monkeypatch.setattr(space, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(space, "AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(space._Watch, "suspected_at", float("-inf"))
    settings = EngineSettings(user_disk_gb=8, disk_reserve_gb=2)
    here = cast(World, SimpleNamespace(sandbox=disk, settings=settings))
    async with asyncio.timeout(10):
        await space.guarded(here, box or _box(), work)


async def turns(disk: Disk, *free: float) -> None:
    for left in free:
        disk.free = left
        for _ in range(30):
            await asyncio.sleep(0)


async def test_nothing_is_counted_while_the_disk_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(100, 50)
    await guarded(disk, turns(disk, 99.9, 99, 98.5), monkeypatch)
    assert disk.counted == 0


async def endless() -> None:
    await asyncio.Event().wait()


async def test_who_outgrows_their_bound_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(100, 9)

    async def fill() -> None:
        await turns(disk, 100, 97)
        await endless()

    with pytest.raises(RunError, match=r"takes 9\.0 GB, and each user may have 8\.0 GB") as caught:
        await guarded(disk, fill(), monkeypatch)
    assert caught.value.kind == "disk"


async def test_where_the_reserve_is_touched_who_has_much_is_stopped_and_who_has_little_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(RunError, match=r"nearly full: 1\.0 GB are left"):
        await guarded(Disk(1, 3), endless(), monkeypatch)
    small = Disk(1, 1)
    await guarded(small, turns(small, 1, 0.9), monkeypatch)
    assert small.counted > 0


async def test_the_works_own_failure_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails() -> None:
        raise RunError("the model is away", "network")

    with pytest.raises(RunError, match="the model is away"):
        await guarded(Disk(100, 1), fails(), monkeypatch)


@pytest.mark.parametrize("hangs", [False, True])
async def test_what_cannot_be_counted_is_too_much_where_the_disk_runs_short(
    hangs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "HURRIED_SECONDS", 0.0)
    disk = Disk(1, None)
    disk.hangs = hangs
    with pytest.raises(RunError, match="could not be counted") as caught:
        await guarded(disk, endless(), monkeypatch)
    assert caught.value.kind == "disk"


async def test_what_cannot_be_counted_is_nobodys_harm_while_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    disk = Disk(100, None)
    await guarded(disk, turns(disk, 100, 97, 94), monkeypatch)
    assert disk.counted > 0


async def test_what_became_free_is_not_granted_on_top(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(50, 9)

    async def fill() -> None:
        await turns(disk, 50, 100, 97)
        await endless()

    with pytest.raises(space.Outgrown):
        await guarded(disk, fill(), monkeypatch)


async def test_where_no_count_explains_what_is_lost_the_one_that_grew_most_is_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    disk, grows, small = Disk(20, 0.1), _box(), _box()

    async def fill() -> None:
        await turns(disk, 20, 17)
        disk.of[grows.user_id] = 0.5
        await turns(disk, 12, 1)

    others = asyncio.create_task(guarded(disk, endless(), monkeypatch, small))
    await asyncio.sleep(0)
    filling = asyncio.create_task(fill())
    with pytest.raises(RunError, match="nearly full"):
        await guarded(disk, endless(), monkeypatch, grows)
    await filling
    for _ in range(50):
        await asyncio.sleep(0)
    assert not others.done(), "what the one held is freed first"
    others.cancel()
    await asyncio.gather(others, return_exceptions=True)
