"""Comparing workspaces that agents are at work in: what would clash, and that nothing is touched."""

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from engine.errors import RunError
from engine.git import workspace
from engine.git.radar import Live, Overlap, overlaps
from engine.ports import Box, Finished
from engine.sandbox.docker import DockerSandbox
from tests.support.gitline import CREDENTIAL, Line, MakeLine
from tests.support.gitserver import run_git
from tests.support.localsandbox import LocalSandbox
from tests.support.sandbox import silent

LINES = "".join(f"line {number}\n" for number in range(30))


@pytest.fixture
def line(make_line: MakeLine) -> Line:
    return make_line(
        {
            "src/shop.py": LINES,
            "src/cart.py": LINES.replace("line", "cart"),
            "README.md": "# Shop\n",
            ".gitignore": "*.log\nbuild/\n",
            "place": "a file\n",
        }
    )


async def workspace_of(line: Line) -> tuple[Live, Path]:
    """Another run's workspace on what the remote holds now."""
    line.run_id = uuid4()
    work = await line.make()
    return Live(line.run_id, line.base), work


async def compared(line: Line, *lives: Live) -> list[Overlap]:
    return await overlaps(line.sandbox, line.sandbox.box, project_id=line.project_id, lives=lives)


def print_of(folder: Path) -> dict[str, tuple[int, int, str]]:
    """Everything below a folder: mode, time of change and content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path)] = (status.st_mode, status.st_mtime_ns, hashlib.sha256(content).hexdigest())
    return found


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def changed(number: int, word: str) -> str:
    return LINES.replace(f"line {number}\n", f"{word}\n")


def commit(work: Path, message: str = "By the agent") -> None:
    run_git("add", "--all", "--force", cwd=work)
    run_git("commit", "--quiet", "-m", message, cwd=work)


async def test_a_clash_is_told_and_nothing_is_touched(line: Line) -> None:
    (one, here), (two, there), (three, apart) = [await workspace_of(line) for _ in range(3)]
    write(here / "src" / "shop.py", changed(3, "three"))
    write(there / "src" / "shop.py", changed(3, "drei"))
    write(apart / "src" / "shop.py", changed(20, "twenty"))  # the same file, another place
    run_git("add", "src/shop.py", cwd=there)
    (there / ".git" / "index.lock").touch()  # the agent's git is at work
    repos = line.sandbox.root / "repos"
    before = print_of(repos)
    assert await compared(line, one, two, three) == [Overlap(one.run_id, two.run_id, ("src/shop.py",))]
    assert print_of(repos) == before


async def test_work_that_was_committed_counts_and_new_files_do(line: Line) -> None:
    (one, here), (two, there) = [await workspace_of(line) for _ in range(2)]
    write(here / "new" / "file.py", "mine\n")
    commit(here)
    write(there / "new" / "file.py", "yours\n")
    assert await compared(line, one, two) == [Overlap(one.run_id, two.run_id, ("new/file.py",))]
    write(there / "new" / "file.py", "mine\n")
    assert await compared(line, one, two) == []


async def test_what_git_ignores_counts_where_it_was_added_by_force(line: Line) -> None:
    (one, here), (two, there) = [await workspace_of(line) for _ in range(2)]
    for work, text in ((here, "mine\n"), (there, "yours\n")):
        write(work / "build" / "out", text)
        write(work / "a.log", text)
    assert await compared(line, one, two) == []
    run_git("add", "--force", "a.log", cwd=here)
    commit(there)
    assert await compared(line, one, two) == [Overlap(one.run_id, two.run_id, ("a.log",))]


Change = Mapping[str, str | None]
KINDS: dict[str, tuple[Change, Change, tuple[str, ...]]] = {
    "changed and deleted": ({"src/shop.py": None}, {"src/shop.py": changed(3, "x")}, ("src/shop.py",)),
    "deleted twice": ({"src/shop.py": None}, {"src/shop.py": None}, ()),
    "renamed and changed": (
        {"src/shop.py": None, "src/store.py": LINES},
        {"src/shop.py": changed(3, "x")},
        (),
    ),
    "renamed and deleted": (
        {"src/shop.py": None, "src/store.py": LINES},
        {"src/shop.py": None},
        ("src/store.py",),
    ),
    "file and folder": ({"fresh": "a\n"}, {"fresh/inner": "b\n"}, ("fresh",)),
    "a file made a folder": ({"place": None, "place/inner": "b\n"}, {"place": "changed\n"}, ("place",)),
    "a repository inside": (
        {
            "app/.git/HEAD": "ref: refs/heads/main\n",
            "app/.git/objects/x": "",
            "app/.git/refs/x": "",
            "app/a": "1\n",
        },
        {"app/a": "2\n"},
        ("app/a",),
    ),
    "hostile names": (
        {"a b\n\t\"'\\\x01": "a\n", "--option": "a\n", ":(top)x": "a\n", "ünïcode": "a\n"},
        {"a b\n\t\"'\\\x01": "b\n", "--option": "b\n", ":(top)x": "b\n", "ünïcode": "b\n"},
        ("--option", ":(top)x", "a b\n\t\"'\\\x01", "ünïcode"),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_of_change(line: Line, kind: str) -> None:
    first, second, files = KINDS[kind]
    workspaces = [await workspace_of(line) for _ in range(2)]
    for (_, work), changes in zip(workspaces, (first, second), strict=True):
        for name, content in changes.items():
            if content is None:
                (work / name).unlink()
            else:
                write(work / name, content)
    (one, _), (two, _) = workspaces
    assert await compared(line, one, two) == ([Overlap(one.run_id, two.run_id, files)] if files else [])


async def test_workspaces_of_different_starts_are_compared_by_what_they_share(line: Line) -> None:
    one, here = await workspace_of(line)
    line.repo.commit({"src/shop.py": changed(20, "by the remote"), "README.md": "# Better\n"})
    two, there = await workspace_of(line)
    assert one.base != two.base
    assert await compared(line, one, two) == []
    write(here / "src" / "shop.py", changed(3, "three"))
    write(there / "src" / "cart.py", "all else\n")
    assert await compared(line, one, two) == []
    write(here / "README.md", "# Other\n")
    write(there / "README.md", "# Best\n")
    assert await compared(line, one, two) == [Overlap(one.run_id, two.run_id, ("README.md",))]


async def test_nothing_is_written_where_no_paths_meet(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    (one, here), (two, there) = [await workspace_of(line) for _ in range(2)]
    asked = recorded(line, monkeypatch)
    write(here / "src" / "shop.py", "a\n")
    write(there / "src" / "cart.py", "b\n")
    assert await compared(line, one, two) == []
    jobs = asked()
    assert {"diff-files", "ls-files"} <= jobs
    assert not jobs & {"update-index", "write-tree", "commit-tree", "merge-tree"}
    write(there / "src" / "shop.py", "b\n")
    assert len(await compared(line, one, two)) == 1
    assert {"update-index", "write-tree", "commit-tree", "merge-tree"} <= asked()


def recorded(line: Line, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Which commands of git the sandbox runs from now on."""
    log, script = line.scratch / "asked", line.scratch / "bin" / "git"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\necho "$@" >>{log}\nexec /usr/bin/git "$@"\n')
    script.chmod(0o755)
    plain = line.sandbox.exec

    async def exec_(box: Box, argv: Sequence[str], **options: Any) -> Finished:
        return await plain(box, argv, env={"PATH": f"{script.parent}:/usr/bin:/bin"}, **options)

    monkeypatch.setattr(line.sandbox, "exec", exec_)
    return lambda: set(log.read_text().split())


async def test_hostile_workspaces_run_nothing_and_clash_with_nobody(line: Line, tmp_path: Path) -> None:
    workspaces = [await workspace_of(line) for _ in range(8)]
    for _, work in workspaces:
        write(work / "src" / "shop.py", str(work))
    (good, _), (also, kept), *bad = workspaces
    marker = tmp_path / "ran"
    planted = f"touch {marker}"
    write(kept / ".gitattributes", "* filter=planted merge=planted diff=planted\n")
    for key in ("filter.planted.clean", "merge.planted.driver", "core.fsmonitor", "diff.planted.command"):
        run_git("config", key, planted, cwd=kept)
    (kept / ".git" / "index").write_bytes(b"garbage")
    (kept / ".git" / "objects" / "info" / "alternates").write_text("/nowhere\n")
    os.mkfifo(kept / "pipe")
    (kept / "shut").write_text("x")
    (kept / "shut").chmod(0)

    (_, gone), (_, linked), (cut, state), (begun, _), (_, many), (_, odd) = bad
    gone.rename(tmp_path / "gone")
    linked.rename(tmp_path / "linked")
    linked.symlink_to(tmp_path / "linked")
    (state.parent / f".{cut.run_id}" / "index").write_bytes(b"DIRC garbage")
    (state.parent / f".{begun.run_id}" / "base").unlink()
    for number in range(20_001):
        (many / f"{number}").touch()
    run_git("init", "--quiet", str(odd / "src" / "deep" / "nested"))
    write(odd / ".gitattributes", "* working-tree-encoding=NO-SUCH\n")

    found = await compared(line, *(live for live, _ in workspaces))
    assert not marker.exists()
    clashing = {run for one in found for run in (one.a, one.b)}
    assert clashing == {good.run_id, also.run_id, cut.run_id}
    assert Overlap(good.run_id, also.run_id, ("src/shop.py",)) in found
    assert not list((line.sandbox.root / "repos").glob(".radar*"))


async def test_a_huge_file_is_not_read(line: Line) -> None:
    (one, here), (two, there) = [await workspace_of(line) for _ in range(2)]
    for work, size in ((here, 17 << 20), (there, 18 << 20)):
        with (work / "huge").open("wb") as file:
            file.truncate(size)
        write(work / "README.md", f"{size}\n")
    assert await compared(line, one, two) == [Overlap(one.run_id, two.run_id, ("README.md",))]


async def test_it_ends_itself_in_time_and_tidies_up(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    (one, here), (two, _) = [await workspace_of(line) for _ in range(2)]
    repos = line.sandbox.root / "repos"
    left, fresh = repos / ".radar.left", repos / ".radar.fresh"
    for folder in (left, fresh):
        folder.mkdir()
    os.utime(left, (time.time() - 7200, time.time() - 7200))
    state = here.parent / f".{one.run_id}"
    (state / "base").unlink()
    os.mkfifo(state / "base")
    with pytest.raises(RunError, match="took too long"):
        await overlaps(
            line.sandbox, line.sandbox.box, project_id=line.project_id, lives=[one, two], timeout=1
        )
    assert [path.name for path in repos.glob(".radar.*")] == [fresh.name]


async def test_one_workspace_or_none_is_not_looked_at(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(LocalSandbox, "exec")
    one = Live(uuid4(), "1" * 40)
    for lives in ((), (one,), (one, one), (one, Live(uuid4(), "--all"))):
        assert await compared(line, *lives) == []


NO_ANSWER = [
    b"",
    b"nonsense",
    b"[" * 100_000,
    b"{}",
    b"[[0, 1]]",
    b'[[0, 1, ["a"]], [0, 1, ["a"]]]',
    b'[[1, 0, ["a"]]]',
    b'[[0, 2, ["a"]]]',
    b'[[0, -1, ["a"]]]',
    b'[["0", 1, ["a"]]]',
    b"[[0, 1, []]]",
    b'[[0, 1, [""]]]',
    b"[[0, 1, [1]]]",
    b'[[0, 1, "a"]]',
    json.dumps([[0, 1, ["a"] * 51]]).encode(),
    json.dumps([[0, 1, ["a" * 4097]]]).encode(),
    b"\xff\xfe",
]


class Stranger:
    """A sandbox in which something else answers."""

    def __init__(self, said: bytes, code: int = 0) -> None:
        self.said, self.code = said, code

    async def exec(self, *_: Any, **__: Any) -> Finished:
        return Finished(self.code, self.said, b"it \x1b[31mfailed\0")


async def answered(line: Line, said: bytes, code: int = 0) -> list[Overlap]:
    lives = [Live(UUID(int=number), "1" * 40) for number in range(2)]
    stranger: Any = Stranger(said, code)
    return await overlaps(stranger, line.sandbox.box, project_id=line.project_id, lives=lives)


async def test_an_answer_that_makes_no_sense_is_an_error(line: Line) -> None:
    for said in NO_ANSWER:
        with pytest.raises(RunError, match="makes sense"):
            await answered(line, said)
    with pytest.raises(RunError, match="could not be compared: it failed"):
        await answered(line, b"[]", 1)
    [odd] = await answered(line, b'[[0, 1, ["\\ud800\\u0000a"]]]')
    assert odd.files == ("?\ufffda",)


async def test_workspaces_in_a_container_are_compared(line: Line, docker_sandbox: DockerSandbox) -> None:
    user_id, lives = uuid4(), []
    box = await docker_sandbox.ensure(user_id, silent)
    try:
        base = await line.mirror.refresh(line.remote, CREDENTIAL, "main")
        await line.mirror.share(docker_sandbox.shared_objects(user_id) / str(line.project_id))
        for word in ("one", "two"):
            live = Live(uuid4(), base)
            lives.append(live)
            work = await workspace.make(
                docker_sandbox, box, live.run_id, project_id=line.project_id, base=base, branch="b"
            )
            await docker_sandbox.exec(box, ["sh", "-c", f"echo {word} >src/shop.py"], cwd=work)
        found = await overlaps(docker_sandbox, box, project_id=line.project_id, lives=lives)
        assert found == [Overlap(lives[0].run_id, lives[1].run_id, ("src/shop.py",))]
        listing = await docker_sandbox.exec(box, ["ls", "-A", str(box.repos)])
        assert b".radar" not in listing.stdout
    finally:
        await docker_sandbox.remove(user_id)
