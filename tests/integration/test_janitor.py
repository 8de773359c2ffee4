"""Each kind of left-over, planted beside a run that is under way: only the left-over goes."""

import asyncio
import fcntl
import os
import shutil
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from sqlmodel import col

from engine import janitor, kept
from engine.findings import Found
from engine.kept import folder
from engine.locks import alone
from engine.models import Container, Finding, KeptWork, Lease, now
from tests.support.keptwork import House, MakeHouse


async def swept(house: House) -> list[tuple[str, str, bool]]:
    found = await janitor.sweep(house.here)
    assert found is not None
    return sorted((one.kind, one.subject, one.mended) for one in found)


async def settle(house: House, run_id: UUID, status: str = "failed", **columns: object) -> None:
    """The run has ended and its worker has cleared up after it."""
    await house.end(run_id, status, cleared_at=now(), **columns)


def plant(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "something").write_text("left\n")
    return path


async def lease(house: House, run_id: UUID) -> None:
    async with house.here.database.transaction() as session:
        session.add(Lease(run_id=run_id, user_id=house.sandbox.user_id))


async def test_a_tidy_house_is_left_as_it_is(house: House) -> None:
    _, work = await house.begin()
    (work / "a.txt").write_text("a\n")
    assert await swept(house) == []
    assert (work / "a.txt").exists()
    assert house.line.mirror.path.exists()


async def test_leases_of_ended_runs_go(house: House) -> None:
    ended, _ = await house.begin()
    open_run, _ = await house.begin()
    for run_id in (ended, open_run):
        await lease(house, run_id)
    shutil.rmtree(house.workspace(ended))
    await settle(house, ended, tidied_at=now())
    assert ("lease", str(ended), True) in await swept(house)
    async with house.here.database.transaction() as session:
        assert set(await session.scalars(select(col(Lease.run_id)))) == {open_run}


async def test_a_workspace_that_was_left_is_kept_and_goes(house: House) -> None:
    left, work = await house.begin()
    (work / "a.txt").write_text("a\n")
    await settle(house, left)
    open_run, busy = await house.begin()
    (busy / "b.txt").write_text("b\n")
    clearing, third = await house.begin()
    await house.end(clearing)  # its worker is about to clear it away
    assert await swept(house) == [("workspace", str(left), True)]
    assert not work.exists()
    assert (busy / "b.txt").exists()
    assert third.exists()
    assert [row.run_id for row in await house.kept()] == [left]
    assert (await house.run(open_run)).fence == 0
    assert await swept(house) == []


async def test_a_workspace_that_came_back_is_kept_before_it_goes_again(house: House) -> None:
    run_id, work = await house.begin()
    (work / "a.txt").write_text("a\n")
    await settle(house, run_id, tidied_at=now())
    assert ("workspace", str(run_id), True) in await swept(house)
    assert not work.exists()
    assert [row.run_id for row in await house.kept()] == [run_id]


async def test_what_cannot_be_kept_is_reported_each_time_and_stays(make_house: MakeHouse) -> None:
    house = make_house(pack_limit_mb=1)
    run_id, work = await house.begin()
    (work / "large.bin").write_bytes(bytes(range(256)) * 8 + os.urandom(2 << 20))
    await settle(house, run_id)
    for _ in range(2):
        assert await swept(house) == [("workspace", str(run_id), False)]
    assert (work / "large.bin").exists()


async def test_a_workspace_of_a_run_that_nobody_knows_waits_for_its_day(make_house: MakeHouse) -> None:
    house = make_house(kept_days=0.00001)
    unknown, stranger = uuid4(), "not-an-id\nfoo"
    plant(house.workspace(unknown))
    plant(house.sandbox.root / "repos" / f".{unknown}")
    plant(house.sandbox.root / "repos" / stranger)
    assert await swept(house) == [("workspace", str(unknown), False)]
    assert house.workspace(unknown).exists()
    await _until_over()
    assert await swept(house) == [("workspace", str(unknown), True)]
    assert [path.name for path in (house.sandbox.root / "repos").iterdir()] == [stranger]


async def _until_over() -> None:
    """KEPT_DAYS of the tests: 0.00001 days."""
    over = now() + timedelta(days=0.00001)
    while now() < over:
        await asyncio.sleep(0.05)


async def test_spares_of_deleted_projects_go(house: House) -> None:
    spares = house.sandbox.root / "repos" / ".spares"
    gone = plant(spares / f"{uuid4()}.{uuid4()}")
    used = plant(spares / f"{house.line.project_id}.{uuid4()}")
    assert await swept(house) == [("spare", gone.name, True)]
    assert (gone.exists(), used.exists()) == (False, True)


async def test_what_begins_at_this_instant_is_no_left_over(make_house: MakeHouse) -> None:
    house = make_house(kept_days=0)
    project, user = uuid4(), uuid4()
    mirror = plant(house.settings.repos / "mirrors" / f"{project}.git")
    spare = plant(house.sandbox.root / "repos" / ".spares" / f"{project}.{uuid4()}")
    house.sandbox.states[user] = "running"
    house.product.begun_meanwhile = {project, user}
    assert await swept(house) == []
    assert mirror.exists()
    assert spare.exists()
    assert house.sandbox.states[user] == "running"


async def test_packs_that_were_half_taken_go(house: House) -> None:
    open_run, _ = await house.begin()
    await house.line.finish()
    repos = house.settings.repos
    places = [repos / "incoming", house.line.store.path / "quarantine"]
    left = [plant(place / str(uuid4())) for place in places]
    used = [plant(place / str(open_run)) for place in places]
    assert [kind for kind, _, _ in await swept(house)] == ["pack", "pack"]
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in used)


async def test_repositories_of_deleted_projects_go(house: House) -> None:
    open_run, _ = await house.begin()
    await house.line.finish()
    repos, gone = house.settings.repos, uuid4()
    mirrors = repos / "mirrors"
    left = [
        plant(mirrors / f"{gone}.git"),
        plant(mirrors / f"{gone}.git.new"),
        plant(mirrors / f"{gone}.runs.git"),
        plant(repos / "users" / str(house.sandbox.user_id) / "objects" / str(gone)),
        plant(house.settings.openlinear_home / "demo" / f"{gone}.git"),
    ]
    (mirrors / f"{gone}.lock").touch()
    house.product.projects.clear()  # that of the open run is deleted too: not while it runs
    assert await swept(house) == [("project", str(gone), True)]
    assert not any(path.exists() for path in left)
    assert sorted(path.name for path in mirrors.iterdir()) == sorted(
        f"{house.line.project_id}{suffix}" for suffix in (".git", ".lock", ".runs.git", ".runs.lock")
    )
    shutil.rmtree(house.workspace(open_run))
    await settle(house, open_run, "done")
    await swept(house)
    assert list(mirrors.iterdir()) == []


async def test_what_was_lent_to_who_may_no_longer_use_a_project_goes(house: House) -> None:
    open_run, _ = await house.begin()
    mine, other, user = house.line.project_id, uuid4(), house.sandbox.user_id
    house.product.projects.add(other)
    objects, spares = (
        house.settings.repos / "users" / str(user) / "objects",
        house.sandbox.root / "repos/.spares",
    )
    left = [plant(objects / str(other)), plant(spares / f"{other}.{uuid4()}")]
    plant(objects / str(mine))
    spare = plant(spares / f"{mine}.{uuid4()}")
    house.product.uses = {(user, mine)}
    found = await swept(house)
    assert found == [("lent", str(other), True), ("spare", left[1].name, True)]
    assert not any(path.exists() for path in left)
    assert spare.exists()
    house.product.uses = set()  # while the run is open, its own stays
    assert [kind for kind, _, _ in await swept(house)] == ["spare"]
    assert (objects / str(mine)).exists()
    shutil.rmtree(house.workspace(open_run))
    await settle(house, open_run, "done")
    assert ("lent", str(mine), True) in await swept(house)
    assert not (objects / str(mine)).exists()


async def test_locks_of_killed_gits_go_unless_somebody_works_there(house: House) -> None:
    _, work = await house.begin()
    (work / "a.txt").write_text("a\n")
    await house.line.finish()
    stale = [
        house.line.mirror.path / "packed-refs.lock",
        house.line.store.path / "refs" / "openlinear" / "x.lock",
        house.line.mirror.path / "objects" / "pack" / "tmp_pack_123",
    ]
    for path in stale:
        path.touch()
    held = house.line.mirror.path.with_suffix(".lock").open("w")
    with held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert await swept(house) == [("lock", str(house.line.project_id), True)]
        assert [path.exists() for path in stale] == [True, False, True]
    await swept(house)
    assert not any(path.exists() for path in stale)


async def test_sandboxes_of_users_that_are_no_more_go(make_house: MakeHouse) -> None:
    house = make_house(kept_days=0.00001)
    gone = uuid4()
    house.sandbox.states[gone] = "paused"
    house.sandbox.data[gone] = 5000
    lent = plant(house.settings.repos / "users" / str(gone) / "objects")
    assert await swept(house) == [("user", str(gone), False)]
    assert gone not in house.sandbox.states
    assert (gone in house.sandbox.data, lent.exists()) == (True, True)
    await _until_over()
    assert await swept(house) == [("user", str(gone), True)]
    assert house.sandbox.gone == [gone]
    assert not lent.exists()
    assert house.sandbox.user_id in house.sandbox.states
    async with house.here.database.transaction() as session:
        assert gone not in set(await session.scalars(select(col(Container.user_id))))


async def test_a_user_whose_run_is_open_keeps_the_sandbox(make_house: MakeHouse) -> None:
    house = make_house(kept_days=0)
    run_id, _ = await house.begin()
    house.product.users.clear()
    assert await swept(house) == []
    assert house.workspace(run_id).exists()
    await settle(house, run_id, "done")
    assert [kind for kind, _, _ in await swept(house)] == ["user", "workspace"]
    assert house.sandbox.gone == [house.sandbox.user_id]


async def test_unfinished_folders_of_kept_work_go(house: House) -> None:
    open_run, _ = await house.begin()
    left = plant(kept.unfinished(house.settings, uuid4()))
    begun = plant(kept.unfinished(house.settings, open_run))
    other = uuid4()
    busy = plant(house.settings.kept / f".{other}.gone")
    async with alone(house.here.database.libpq_url, kept.lock_name(other)):
        assert [kind for kind, _, _ in await swept(house)] == ["kept"]
    assert (left.exists(), begun.exists(), busy.exists()) == (False, True, True)


async def test_temporary_files_of_yesterday_go(house: House) -> None:
    home = house.settings.openlinear_home
    old, fresh = plant(home / "opencode" / ".install-a"), plant(home / "opencode" / ".install-b")
    file, bundle = home / ".sandbox.123", plant(home / "checks" / "tmp123")
    file.touch()
    for path in (old, file, bundle):
        os.utime(path, (0, 0))
    assert [kind for kind, _, _ in await swept(house)] == ["temporary"] * 3
    assert [path.exists() for path in (old, file, bundle, fresh)] == [False, False, False, True]


async def keep_one(house: House, **columns: object) -> UUID:
    run_id, work = await house.begin()
    (work / f"{run_id}.txt").write_text("a\n")
    await settle(house, run_id)
    run = await house.run(run_id)
    assert await kept.clear(house.here, run, await house.box(), house.recorder(run_id), done=False)
    async with house.here.database.transaction() as session:
        row = await session.get_one(KeptWork, run_id)
        for name, value in columns.items():
            setattr(row, name, value)
    return run_id


async def test_kept_work_goes_when_its_time_is_over_unless_it_is_being_restored(house: House) -> None:
    over = {"expires_at": now() - timedelta(hours=1)}
    stays, goes = await keep_one(house), await keep_one(house, **over)
    restored = await keep_one(house, **over)
    await house.begin(restores=restored)
    assert await swept(house) == [("expired", str(goes), True)]
    assert {row.run_id for row in await house.kept()} == {stays, restored}
    assert {path.name for path in house.settings.kept.iterdir()} == {str(stays), str(restored)}


async def test_the_oldest_goes_first_when_too_much_is_kept(make_house: MakeHouse) -> None:
    half = 1 << 29
    house = make_house(kept_max_gb=1.0)
    old = {"bundle_bytes": half, "files_bytes": half // 4}
    oldest = await keep_one(house, created_at=now() - timedelta(days=9), **old)
    older = await keep_one(house, created_at=now() - timedelta(days=8), **old)
    fresh = [await keep_one(house, **old) for _ in range(2)]
    gone = sorted(("expired", str(one), True) for one in (oldest, older))
    assert await swept(house) == [*gone, ("kept", "size", False)]
    assert {row.run_id for row in await house.kept()} == set(fresh)


async def test_a_row_without_a_folder_and_a_folder_without_a_row(house: House) -> None:
    lost, orphan = await keep_one(house), await keep_one(house)
    shutil.rmtree(folder(house.settings, lost))
    async with house.here.database.transaction() as session:
        await session.delete(await session.get_one(KeptWork, orphan))
    assert await swept(house) == sorted([("kept", str(lost), False), ("kept", str(orphan), True)])
    assert orphan in {row.run_id for row in await house.kept()}


async def test_one_worker_at_a_time(house: House) -> None:
    async with alone(house.here.database.libpq_url, "janitor"):
        assert await janitor.sweep(house.here) is None
    assert await janitor.sweep(house.here) == []


async def test_what_is_mended_is_told_and_what_is_over_is_not(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = [
        [Found("a", "1", "stays", False), Found("b", "1", "was put right", True)],
        [Found("a", "1", "stays still", False)],
        [],
    ]

    async def check(_: object) -> list[Found]:
        return rounds.pop(0)

    async def broken(_: object) -> list[Found]:
        raise OSError("no disk")

    monkeypatch.setattr(janitor, "CHECKS", (broken, check))
    told, first = [], None
    for _ in range(3):
        await janitor.sweep(house.here)
        async with house.here.database.transaction() as session:
            rows = list(await session.scalars(select(Finding).order_by(col(Finding.kind))))
        told.append([(row.kind, row.detail) for row in rows if row.kind != "janitor"])
        assert [row.detail for row in rows if row.kind == "janitor"] == ["Could not be looked at: no disk"]
        first = first or rows[0].first_found_at
    assert told == [
        [("a", "stays"), ("b", "was put right")],
        [("a", "stays still"), ("b", "was put right")],
        [("b", "was put right")],
    ]
