"""Nothing of a run is destroyed that is not pushed: what is kept, and how it comes back."""

import inspect
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from engine import kept
from engine.errors import RunError
from engine.git import leftovers, workspace
from engine.kept import BUNDLE, FILES, clear, folder, put_back, start_of
from engine.locks import alone
from tests.support.gitserver import run_git
from tests.support.keptwork import House, MakeHouse


async def cleared(house: House, run_id: UUID, **how: Any) -> bool:
    given = {"done": False, **how}
    run, box = await house.run(run_id), await house.box()
    return await clear(house.here, run, box, house.recorder(run_id), **given)


def work_in(work: Path) -> str:
    """Every kind of work; returns the agent's own commit."""
    (work / "mine.py").write_text("mine = 1\n")
    run_git("add", "-A", cwd=work)
    run_git("commit", "-qm", "By the agent", cwd=work)
    (work / "app.py").write_text("print('better')\n")
    (work / "new file\nof two lines.txt").write_text("untracked\n")
    (work / "secrets.env").write_text("TOKEN=1\n")
    (work / "node_modules" / "left").mkdir(parents=True)
    (work / "node_modules" / "left" / "pad.js").write_text("pad()\n")
    (work / "node_modules" / "out").symlink_to("/etc/passwd")
    return run_git("rev-parse", "HEAD", cwd=work).decode().strip()


def listed(archive: Path) -> list[str]:
    with tarfile.open(archive) as tar:
        return [name for name in tar.getnames() if not name.startswith("git")]


async def test_all_that_a_failed_run_did_is_kept_and_then_its_workspace_goes(house: House) -> None:
    run_id, work = await house.begin()
    own = work_in(work)
    assert await cleared(house, run_id)
    assert not house.workspace(run_id).exists()
    [row] = await house.kept()
    place = folder(house.settings, run_id)
    assert place.stat().st_mode & 0o777 == 0o700
    assert (row.bundle_bytes, row.files_bytes) == tuple(
        (place / name).stat().st_size for name in (BUNDLE, FILES)
    )
    assert (row.expires_at - row.created_at).days == 30

    clone = place.parent.parent / "clone"
    run_git("clone", "-q", str(house.line.repo.path), str(clone), cwd=place)
    run_git("fetch", "-q", str(place / BUNDLE), "+refs/*:refs/kept/*", cwd=clone)
    assert row.head_sha is not None
    commits = run_git("log", "--format=%H", f"{row.base_sha}..{row.head_sha}", cwd=clone).decode().split()
    assert commits == [row.head_sha, own]
    assert run_git("show", f"{row.head_sha}:app.py", cwd=clone) == b"print('better')\n"
    assert run_git("show", f"{row.head_sha}:new file\nof two lines.txt", cwd=clone) == b"untracked\n"
    assert sorted(listed(place / FILES)) == [
        "files",
        "files/node_modules",
        "files/node_modules/left",
        "files/node_modules/left/pad.js",
        "files/node_modules/out",
        "files/secrets.env",
    ]
    assert (await house.run(run_id)).tidied_at is not None


async def test_it_comes_back_in_another_run(house: House) -> None:
    run_id, work = await house.begin()
    work_in(work)
    await cleared(house, run_id)
    await house.end(run_id)
    house.line.repo.commit({"later.txt": "by somebody else\n"})

    second, fresh = await house.begin(restores=run_id)
    run = await house.run(second)
    base = await start_of(house.here, run)
    assert base is not None
    await workspace.remove(house.sandbox, house.sandbox.box, second, project_id=house.line.project_id)
    for _ in range(2):  # a worker that died is followed by one that does it again
        await workspace.make(
            house.sandbox,
            house.sandbox.box,
            second,
            project_id=house.line.project_id,
            base=base,
            branch=run.branch,
        )
        await put_back(house.here, run, house.sandbox.box)
    assert (fresh / "app.py").read_text() == "print('better')\n"
    assert (fresh / "mine.py").read_text() == "mine = 1\n"
    assert (fresh / "new file\nof two lines.txt").read_text() == "untracked\n"
    assert (fresh / "secrets.env").read_text() == "TOKEN=1\n"
    assert (fresh / "node_modules" / "left" / "pad.js").read_text() == "pad()\n"
    assert run_git("status", "--porcelain", cwd=fresh) == b""
    [row] = await house.kept()
    assert row.restored_at is not None

    (fresh / "more.py").write_text("more = 1\n")
    house.line.run_id, house.line.base = second, base
    sha = await house.line.finish()
    await house.line.push(sha)
    assert house.line.repo.files(sha) == [
        ".gitignore",
        "app.py",
        "mine.py",
        "more.py",
        "new file\nof two lines.txt",
    ]


async def test_what_is_pushed_or_came_to_nothing_is_not_kept(house: House) -> None:
    pushed, work = await house.begin()
    (work / "a.txt").write_text("a\n")
    (work / "b.env").write_text("b\n")
    head = await house.line.finish()
    await house.set(pushed, head_sha=head, pushed_sha=head)
    assert await cleared(house, pushed)
    done, work = await house.begin()
    (work / "only.env").write_text("x\n")
    assert await cleared(house, done, done=True)
    untouched, _ = await house.begin()
    assert await cleared(house, untouched)
    assert await house.kept() == []
    assert not any(house.workspace(one).exists() for one in (pushed, done, untouched))
    assert list(house.settings.kept.glob("*")) == []


async def test_a_commit_that_did_not_reach_the_remote_is_kept_without_its_workspace(house: House) -> None:
    run_id, work = await house.begin()
    (work / "a.txt").write_text("a\n")
    await house.set(run_id, head_sha=await house.line.finish())
    shutil.rmtree(work)
    assert await cleared(house, run_id)
    [row] = await house.kept()
    assert row.bundle_bytes > 0
    assert row.files_bytes == 0


async def test_ignored_files_and_stashes_alone_are_kept_too(house: House) -> None:
    run_id, work = await house.begin()
    (work / "app.py").write_text("print('stashed')\n")
    run_git("stash", cwd=work)
    assert await cleared(house, run_id)
    [row] = await house.kept()
    assert (row.head_sha, row.bundle_bytes) == (None, 0)
    with tarfile.open(folder(house.settings, run_id) / FILES) as tar:
        assert "git/refs/stash" in tar.getnames()


async def test_hostile_files_are_left_out_and_named(make_house: MakeHouse) -> None:
    house = make_house(kept_files_mb=1)
    run_id, work = await house.begin()
    (work / "small.env").write_text("small\n")
    with (work / "huge.env").open("wb") as huge:
        huge.truncate(10 << 30)
    (work / "loop.env").symlink_to(".")
    (work / "a\nb.env").write_text("two lines\n")
    (work / os.fsdecode(b"\xff.env")).write_text("no text\n")
    many = work / "node_modules"
    many.mkdir()
    os.mkfifo(many / "pipe")
    for number in range(1100):
        (many / str(number)).touch()
    dig(work / "deep.env", 300)
    assert await cleared(house, run_id)
    [row] = await house.kept()
    assert {(one["name"], one["bytes"], one["why"]) for one in row.left_out} == {
        ("files/deep.env", 0, "File name too long"),
        ("files/huge.env", (10 << 30) + 1024, "over the limit"),
        ("files/node_modules", 1024 * 1102, "over the limit"),
    }
    with tarfile.open(folder(house.settings, run_id) / FILES, errors="surrogateescape") as tar:
        assert sorted(tar.getnames()) == [
            "files",
            "files/a\nb.env",
            "files/loop.env",
            "files/small.env",
            "files/\udcff.env",
        ]


def dig(top: Path, depth: int) -> None:
    """Folders in folders, deeper than any path can say."""
    top.mkdir()
    inside = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("a-folder-in-a-folder", dir_fd=inside)
        deeper = os.open("a-folder-in-a-folder", os.O_RDONLY, dir_fd=inside)
        os.close(inside)
        inside = deeper
    os.close(inside)


async def test_what_cannot_be_kept_stays_where_it_is(make_house: MakeHouse) -> None:
    house = make_house(pack_limit_mb=1)
    run_id, work = await house.begin()
    (work / "large.bin").write_bytes(os.urandom(2 << 20))
    assert not await cleared(house, run_id)
    assert (work / "large.bin").exists()
    assert await house.kept() == []
    assert (await house.run(run_id)).tidied_at is None


WRITES = [
    (kept, "_begin"),
    (leftovers, "archive"),
    (kept.Store, "bundle"),
    (kept, "_seal"),
    (kept, "adopted"),
    (workspace, "remove"),
    (kept, "_tidied"),
]


class Killed(BaseException):
    """As the kill of a worker: nothing of ours catches it."""


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("place", WRITES, ids=[name for _, name in WRITES])
async def test_a_worker_may_die_at_any_write(
    house: House, monkeypatch: pytest.MonkeyPatch, place: tuple[Any, str], after: bool
) -> None:
    run_id, work = await house.begin()
    work_in(work)
    owner, name = place
    real = getattr(owner, name)
    monkeypatch.setattr(owner, name, dying(real, after))
    with pytest.raises(Killed):
        await cleared(house, run_id)
    monkeypatch.setattr(owner, name, real)
    assert work.exists() or [row.run_id for row in await house.kept()] == [run_id]

    assert await cleared(house, run_id)
    [row] = await house.kept()
    assert row.head_sha == await house.line.store.head_of(run_id)
    assert "files/secrets.env" in listed(folder(house.settings, run_id) / FILES)
    assert [path.name for path in house.settings.kept.iterdir()] == [str(run_id)]
    assert not work.exists()


def dying(real: Any, after: bool) -> Any:
    """The same, and death before or after it, on the way in which it is called."""

    async def later(*args: Any, **kwargs: Any) -> None:
        if after:
            await real(*args, **kwargs)
        raise Killed

    def at_once(*args: Any, **kwargs: Any) -> None:
        if after:
            real(*args, **kwargs)
        raise Killed

    return later if inspect.iscoroutinefunction(real) else at_once


async def test_two_do_not_clear_the_same_run_at_once(house: House) -> None:
    run_id, work = await house.begin()
    (work / "a.txt").write_text("a\n")
    async with alone(house.here.database.libpq_url, kept.lock_name(run_id)):
        assert not await cleared(house, run_id, wait=False)
        assert work.exists()
    assert await cleared(house, run_id, wait=False)


async def test_expired_work_is_not_restored(house: House) -> None:
    run_id, work = await house.begin()
    (work / "a.txt").write_text("a\n")
    await cleared(house, run_id)
    await house.end(run_id)
    second, _ = await house.begin(restores=run_id)
    shutil.rmtree(folder(house.settings, run_id))
    with pytest.raises(RunError, match="no longer there"):
        await start_of(house.here, await house.run(second))
