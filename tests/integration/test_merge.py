"""Merging in the object store, by the real git, judged by what `git merge --no-ff` does in a work tree."""

from pathlib import Path

import pytest

from engine.git.merge import Part
from tests.support.gitserver import run_git
from tests.support.mergeline import Branches, Files, MakeBranches, run_of

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


def parents(branches: Branches, sha: str) -> list[str]:
    found = run_git("rev-list", "--parents", "-n1", sha, cwd=branches.line.store.path)
    return found.decode().split()[1:]


async def test_parts_are_merged_in_order_with_two_parents_each(branches: Branches, tmp_path: Path) -> None:
    shas = [
        branches.add("first", {"src/shop.py": changed(3, "three")}),
        branches.add("second", {"src/shop.py": changed(20, "twenty"), "new/file.txt": "new\n"}),
    ]
    train = await branches.merge("first", "second")

    assert [one.run_id for one in train.merged] == [run_of("first"), run_of("second")]
    assert train.clashes == ()
    assert train.merged[-1].sha == train.head
    assert parents(branches, train.merged[0].sha) == [branches.base, shas[0]]
    assert parents(branches, train.head) == [train.merged[0].sha, shas[1]]
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
    assert parents(branches, train.head) == [branches.base, branches.line.repo.branches()["second"]]
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
