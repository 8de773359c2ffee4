"""Merging in the object store, by the real git, judged by what `git merge --no-ff` does in a work tree."""

import asyncio
import contextlib
import random
import shutil
from pathlib import Path

import psutil
import pytest

from engine.errors import RunError
from engine.git.commits import identity, write_commit
from engine.git.merge import Part
from tests.support.gitline import WHEN
from tests.support.gitserver import Content, run_git
from tests.support.mergeline import AUTHOR, Branches, Files, MakeBranches, run_of

LINES = "".join(f"line {number}\n" for number in range(30))
BASE = {
    "README.md": "# Shop\n",
    "src/shop.py": LINES,
    "src/cart.py": LINES.replace("line", "cart"),
    "src/deep/one.py": "one\n" * 20,
    "logo.png": b"\x89PNG\0\1\2\3",
    "run.sh": "echo\n",
    **{f"many/{number}": f"{number} {LINES}" for number in range(4)},
}


@pytest.fixture
def branches(make_branches: MakeBranches) -> Branches:
    return make_branches(BASE)


def changed(number: int, word: str) -> str:
    return LINES.replace(f"line {number}\n", f"{word}\n")


async def test_parts_are_merged_in_order_with_two_parents_each(branches: Branches, tmp_path: Path) -> None:
    shas = [
        branches.add("first", {"src/shop.py": changed(3, "three")}),
        branches.add("second", {"src/shop.py": changed(20, "twenty"), "new/file.txt": "new\n"}),
    ]
    train = await branches.merge("first", "second")

    assert [one.run_id for one in train.merged] == [run_of("first"), run_of("second")]
    assert train.clashes == ()
    assert train.merged[-1].sha == train.head
    assert branches.parents(train.merged[0].sha) == [branches.base, shas[0]]
    assert branches.parents(train.head) == [train.merged[0].sha, shas[1]]
    assert train.tree == branches.plain_merge(tmp_path / "plain", "first", "second")
    shown = run_git(
        *("show", "--no-patch", "--format=%an <%ae> %at|%cn <%ce> %ct|%B", train.head),
        cwd=branches.line.store.path,
    )
    who = "Ada Lovelace <ada@example.com> 1767323045"
    assert shown.decode() == f"{who}|{who}|Merge second\n\nAs asked.\n\n"
    fsck = ("fsck", "--strict", "--no-dangling", train.head)
    assert run_git(*fsck, cwd=branches.line.store.path) == b""


async def test_the_same_arguments_give_the_same_commits(branches: Branches) -> None:
    branches.add("first", {"a": "a\n"})
    branches.add("second", {"b": "b\n"})
    assert await branches.merge("first", "second") == await branches.merge("first", "second")
    other = await branches.merge("second", "first")
    assert other.tree == (await branches.merge("first", "second")).tree


async def test_what_is_there_already_adds_no_commit(branches: Branches) -> None:
    first = branches.add("first", {"a": "a\n"})
    branches.add("second", {"b": "b\n"}, start=first)
    branches.add("nothing", {})
    await branches.fetch()
    base = Part(run_of("base"), branches.base, "Nothing")
    train = await branches.merge_parts(
        [base, branches.part("second"), branches.part("first"), branches.part("second")]
    )
    assert [one.sha for one in train.merged] == [branches.base, train.head, train.head, train.head]
    assert branches.parents(train.head) == [branches.base, branches.line.repo.branches()["second"]]
    alone = await branches.merge_parts([base])
    assert (alone.head, [one.sha for one in alone.merged]) == (branches.base, [branches.base])


async def test_nothing_to_merge_is_the_start_itself(branches: Branches) -> None:
    train = await branches.merge()
    tree = run_git("rev-parse", "main^{tree}", cwd=branches.line.repo.path).decode().strip()
    assert (train.head, train.tree, train.merged, train.clashes) == (branches.base, tree, (), ())


async def test_a_clash_is_left_out_and_says_with_whom(branches: Branches) -> None:
    branches.add("first", {"src/shop.py": changed(3, "three")})
    branches.add("apart", {"README.md": "# Better\n"})
    branches.add("clashing", {"src/shop.py": changed(3, "drei"), "src/new.py": "new\n"})
    branches.add("last", {"src/cart.py": "short\n"})
    train = await branches.merge("first", "apart", "clashing", "last")
    assert [one.run_id for one in train.merged] == [run_of("first"), run_of("apart"), run_of("last")]
    [clash] = train.clashes
    assert (clash.run_id, clash.files) == (run_of("clashing"), ("src/shop.py",))
    assert clash.others == (run_of("first"),)
    assert train == await branches.merge("first", "apart", "clashing", "last")
    without = await branches.merge("first", "apart", "last")
    assert without.head == train.head

    stopped = await branches.merge("first", "clashing", "last", stop_at_clash=True)
    assert [one.run_id for one in stopped.merged] == [run_of("first")]
    assert stopped.clashes == (clash,)


async def test_a_clash_with_what_the_remote_did_meanwhile_names_nobody(branches: Branches) -> None:
    branches.add("apart", {"README.md": "# Better\n"})
    branches.add("mine", {"src/shop.py": changed(3, "three")})
    moved = branches.line.repo.commit({"src/shop.py": changed(3, "drei")})
    train = await branches.merge("apart", "mine", onto=moved)
    [clash] = train.clashes
    assert (clash.run_id, clash.files, clash.others) == (run_of("mine"), ("src/shop.py",), ())


SUBMODULE = "1111111111111111111111111111111111111111"
KINDS: dict[str, tuple[Files, Files, set[str]]] = {
    "content": ({"src/shop.py": "a\n"}, {"src/shop.py": "b\n"}, {"src/shop.py"}),
    "both added": ({"new": "a\n"}, {"new": "b\n"}, {"new"}),
    "changed and deleted": ({"src/shop.py": None}, {"src/shop.py": changed(3, "x")}, {"src/shop.py"}),
    "renamed and deleted": (
        {"src/shop.py": None, "src/store.py": LINES},
        {"src/shop.py": None},
        {"src/store.py"},
    ),
    "renamed twice": (
        {"src/shop.py": None, "src/one.py": LINES},
        {"src/shop.py": None, "src/two.py": LINES},
        {"src/shop.py", "src/one.py", "src/two.py"},
    ),
    "file and folder": ({"place": "a file\n"}, {"place/inner": "b\n"}, {"place"}),
    "binary": ({"logo.png": b"\x89PNG\0a"}, {"logo.png": b"\x89PNG\0b"}, {"logo.png"}),
    "mode": (
        {"run.sh": ("100755", "echo one\n")},
        {"run.sh": ("120000", "src/shop.py")},
        {"run.sh"},
    ),
    "symbolic links": ({"link": ("120000", "a")}, {"link": ("120000", "b")}, {"link"}),
    "submodules": ({"lib": ("160000", SUBMODULE)}, {"lib": ("160000", SUBMODULE.replace("1", "2"))}, {"lib"}),
    "a file in a renamed folder": (
        {"src/deep/one.py": None, "src/far/one.py": "one\n" * 20},
        {"src/deep/two.py": "two\n"},
        {"src/far/two.py"},
    ),
    "a folder renamed two ways": (
        {
            **{f"many/{number}": None for number in range(4)},
            **{f"{'left' if number % 2 else 'right'}/{number}": f"{number} {LINES}" for number in range(4)},
        },
        {"many/new": "new\n"},
        {"many"},
    ),
    "hostile names": (
        {"a b\n\t\"'\\\x01": "a\n", "--option": "a\n", "ünïcode": "a\n"},
        {"a b\n\t\"'\\\x01": "b\n", "--option": "b\n", "ünïcode": "b\n"},
        {"a b\n\t\"'\\\x01", "--option", "ünïcode"},
    ),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_of_conflict_names_its_paths(branches: Branches, kind: str, tmp_path: Path) -> None:
    first, second, files = KINDS[kind]
    branches.add("first", first)
    branches.add("second", second)
    branches.add("third", {"third": "3\n"})
    train = await branches.merge("first", "second", "third")
    [clash] = train.clashes
    assert set(clash.files) == files
    assert len(clash.files) == len(files)
    assert clash.others == (run_of("first"),)
    assert train.merged[-1].run_id == run_of("third")
    assert branches.plain_merge(tmp_path / "plain", "first", "second") is None
    assert train.tree == branches.plain_merge(tmp_path / "left", "first", "third")


async def test_names_that_are_no_text_are_replaced(branches: Branches) -> None:
    for name, text in (("first", b"a"), ("second", b"b")):
        run_git("branch", name, branches.base, cwd=branches.line.repo.path)
        commit = b"commit refs/heads/%s\ncommitter T <t@example.com> 1 +0000\ndata 0\n" % name.encode()
        change = b'from refs/heads/%s^0\nM 100644 inline "\\377\\376"\ndata 1\n%s\n' % (name.encode(), text)
        run_git("fast-import", "--quiet", cwd=branches.line.repo.path, stdin=commit + change)
    [clash] = (await branches.merge("first", "second")).clashes
    assert clash.files == ("\ufffd\ufffd",)


async def test_nothing_of_a_repository_runs(branches: Branches, tmp_path: Path) -> None:
    """Drivers and filters would be named in a configuration, hooks lie in a folder: the store has neither."""
    attributes = "* merge=planted filter=planted\n"
    branches.add("first", {".gitattributes": attributes, "src/shop.py": changed(3, "three")})
    branches.add("second", {".gitattributes": attributes, "src/shop.py": changed(20, "twenty")})
    await branches.fetch()
    marker = tmp_path / "ran"
    where = branches.line.mirror.path
    run_git("config", "merge.planted.driver", f"touch {marker}", cwd=where)
    run_git("config", "filter.planted.smudge", f"touch {marker}", cwd=where)
    first = await branches.merge("first", "second")
    hook = branches.line.store.path / "hooks" / "post-merge"
    hook.parent.mkdir()
    for name in ("post-merge", "pre-merge-commit", "reference-transaction", "commit-msg"):
        hook.with_name(name).write_text(f"#!/bin/sh\ntouch {marker}\n")
        hook.with_name(name).chmod(0o755)
    assert await branches.merge("first", "second") == first
    assert first.clashes == ()
    assert not marker.exists()


async def test_what_cannot_be_merged_is_an_error_and_not_a_wait(branches: Branches) -> None:
    branches.add("first", {"a": "a\n"})
    branches.line.repo.commit({"other": "history\n"}, branch="orphan")
    with pytest.raises(RunError, match="unrelated histories"):
        await branches.merge("first", "orphan")
    blob = run_git("rev-parse", f"{branches.base}:README.md", cwd=branches.line.repo.path).decode().strip()
    for sha in ("1" * 40, blob, "2" * 64):
        with pytest.raises(RunError, match=f"holds no commit {sha[:12]}"):
            await branches.merge_parts([branches.part("first"), branches.part("x", sha)])
    for sha in ("main", "--all", "1" * 40 + "\n" + branches.base, ""):
        with pytest.raises(RunError, match="something else than a commit's hash"):
            await branches.merge_parts([branches.part("x", sha)])


async def test_a_missing_object_is_an_error(branches: Branches) -> None:
    base = branches.base
    store = branches.line.store
    await branches.fetch()
    await store.create()
    by = identity(AUTHOR, WHEN)
    hollow = write_commit(store.path / "objects", "3" * 40, [base], "No tree", by)
    with pytest.raises(RunError, match=f"does not hold the files of the commit {hollow[:12]}"):
        await branches.merge_parts([branches.part("x", hollow)])  # git itself takes it for one without files
    tree = run_git("rev-parse", "main^{tree}", cwd=branches.line.repo.path).decode().strip()
    rootless = write_commit(store.path / "objects", tree, ["4" * 40], "No parent", by)
    with pytest.raises(RunError, match="could not be merged"):
        await branches.merge_parts([branches.part("x", rootless)])


async def test_a_tree_that_stands_for_billions_of_files_is_an_error(
    branches: Branches, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = branches.line.store
    await branches.fetch()
    await store.create()
    tree = run_git("rev-parse", "main^{tree}", cwd=branches.line.repo.path).decode().strip()
    for _ in range(10):
        entries = "".join(f"040000 tree {tree}\td{number}\n" for number in range(10))
        tree = run_git("mktree", cwd=store.path, stdin=entries.encode()).decode().strip()
    bomb = write_commit(store.path / "objects", tree, [branches.base], "Bomb", identity(AUTHOR, WHEN))
    branches.add("first", {"README.md": "# Better\n", "new": "new\n"})
    await branches.fetch()
    monkeypatch.setattr("engine.git.command.MEMORY", 100 << 20)
    with pytest.raises(RunError, match=r"[Oo]ut of memory"):
        await branches.merge_parts([branches.part("first"), branches.part("bomb", bomb)])
    assert git_of(branches) == []


def git_of(branches: Branches) -> list[psutil.Process]:
    """Processes that work in the store now."""
    there = str(branches.line.store.path)
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("GIT_DIR") == there and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


async def test_no_process_is_left_behind(
    branches: Branches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    branches.add("first", {"a": "a\n"})
    await branches.merge("first")
    assert git_of(branches) == []
    script = tmp_path / "bin" / "git"
    script.parent.mkdir()
    begun = tmp_path / "begun"
    real = shutil.which("git")
    script.write_text(
        f'#!/bin/sh\ncase "$*" in *merge-tree*) touch {begun}; sleep 60 & wait;; esac\nexec {real} "$@"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:/usr/bin:/bin")
    part = branches.part("first")

    merging = asyncio.create_task(branches.merge_parts([part]))
    while not begun.exists():
        await asyncio.sleep(0.01)
    assert git_of(branches) != []
    merging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await merging
    assert git_of(branches) == []

    monkeypatch.setattr("engine.git.merge.SECONDS", 0.3)
    with pytest.raises(RunError, match="did not finish") as caught:
        await branches.merge_parts([part])
    assert caught.value.kind == "timeout"
    assert git_of(branches) == []


def some_changes(chance: random.Random) -> Files:
    """What an agent may do: edit, add, remove, move, change a mode."""
    files: dict[str, Content | None] = {}
    for _ in range(chance.randint(1, 4)):
        path = chance.choice(
            ["src/shop.py", "src/cart.py", "many/0", "many/1", "many/2", "README.md", "run.sh"]
        )
        match chance.choice(["edit", "edit", "add", "remove", "move", "mode", "folder"]):
            case "edit":
                line = f"line {chance.randrange(30)}\n"
                files[path] = str(BASE[path]).replace(line, f"{chance.randrange(3)}\n")
            case "add":
                files[f"many/new{chance.randrange(3)}"] = f"{chance.randrange(2)}\n"
            case "remove":
                files[path] = None
            case "move":
                files |= {path: None, f"moved/{path.replace('/', '-')}": BASE[path]}
            case "mode":
                files[path] = ("100755", str(BASE[path]))
            case "folder":
                files |= {f"many/{number}": None for number in range(4)}
                files |= {f"most/{number}": BASE[f"many/{number}"] for number in range(4)}
    return files


@pytest.mark.parametrize("seed", range(4))
async def test_what_git_merges_is_merged_alike(branches: Branches, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    names = [f"branch{number}" for number in range(8)]
    for name in names:
        branches.add(name, some_changes(chance))
    train = await branches.merge(*names)
    left_out = {clash.run_id for clash in train.clashes}
    fit = [name for name in names if run_of(name) not in left_out]
    assert len(fit) > 1 and left_out
    assert train.tree == branches.plain_merge(tmp_path / "plain", *fit)
    for clash in train.clashes:
        at = next(number for number, name in enumerate(names) if run_of(name) == clash.run_id)
        before = [name for name in names[:at] if name in fit]
        assert branches.plain_merge(tmp_path / names[at], *before, names[at]) is None
        assert clash.files
