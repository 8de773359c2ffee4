"""When a run is stopped for what its user's agents take of the disk."""

import asyncio
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest

from engine import space
from engine.errors import RunError
from engine.ports import Box, Finished
from engine.settings import EngineSettings
from engine.world import World

GB = 1 << 30


class Disk:
    """A fake at the Sandbox port: what is free, and what the user's files take."""

    def __init__(self, free: float, taken: float) -> None:
        self.free, self.taken = free, taken
        self.counted = 0

    async def free_bytes(self) -> int:
        return int(self.free * GB)

    async def exec(self, box: Box, argv: list[str], **_: Any) -> Finished:
        self.counted += 1
        assert f"--exclude={box.objects}" in argv
        return Finished(0, b"%d\t/home\n" % int(self.taken * GB / 1024), b"")


async def guarded(disk: Disk, work: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "LOOK_SECONDS", 0.0)
    settings = EngineSettings(user_disk_gb=8, disk_reserve_gb=2)
    here = cast(World, SimpleNamespace(sandbox=disk, settings=settings))
    box = Box(uuid4(), "", "", PurePosixPath("/home/repos"), PurePosixPath("/home/objects"))
    async with asyncio.timeout(10):
        await space.guarded(here, box, work)


async def turns(disk: Disk, *free: float) -> None:
    for left in free:
        disk.free = left
        for _ in range(10):
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
