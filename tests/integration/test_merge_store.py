"""Merged commits as a store holds them: their very bytes, their names, and what carries them elsewhere."""

import shutil
from pathlib import Path
from uuid import uuid4

import pytest

from engine.git import removal, transfer
from engine.git.command import GitError
from engine.git.commits import identity, message_bytes, write_commit
from engine.git.merge import Part
from tests.support.gitline import BRANCH, WHEN
from tests.support.gitserver import run_git
from tests.support.mergeline import AUTHOR, Branches, MakeBranches, run_of

LINES = "".join(f"line {number}\n" for number in range(30))


@pytest.fixture
def branches(make_branches: MakeBranches) -> Branches:
    return make_branches({"README.md": "# Shop\n", "src/shop.py": LINES})


@pytest.mark.parametrize("hashes", ["sha1", "sha256"])
@pytest.mark.parametrize(
    "author",
    [
        AUTHOR,
        ("  Söphie <s>\n", "a b@c\x01"),
        (".,\\\"'", "<>"),
        ("\ud800x", "\\x\\"),
        ("n" * 300, "e" * 300),
    ],
)
async def test_a_commit_is_the_one_that_git_would_write(
    tmp_path: Path, hashes: str, author: tuple[str, str]
) -> None:
    repository = tmp_path / "repository"
    run_git("init", "--quiet", "--bare", f"--object-format={hashes}", str(repository))
    tree = run_git("hash-object", "-w", "-t", "tree", "--stdin", cwd=repository).decode().strip()
    by = identity(author, WHEN)
    who = {name: value.encode() for name, value in by.environment.items()}
    message = "Subject\n\nBödy \ud800 without an end\0"
    first = write_commit(repository / "objects", tree, [], message, by)
    for parents in ([], [first]):
        options = [option for parent in parents for option in ("-p", parent)]
        made = run_git(
            "commit-tree", tree, *options, "-F", "-", cwd=repository, stdin=message_bytes(message), **who
        )
        assert write_commit(repository / "objects", tree, parents, message, by) == made.decode().strip()
    assert run_git("fsck", "--strict", "--no-dangling", first, cwd=repository) == b""


async def test_repositories_of_the_longer_hash_are_merged(branches: Branches, tmp_path: Path) -> None:
    store = branches.line.store
    await branches.fetch()
    await store.create()
    shutil.rmtree(store.path)
    run_git("init", "--quiet", "--bare", "--object-format=sha256", str(store.path))
    commit = "commit refs/heads/{0}\ncommitter T <t@example.com> 1 +0000\ndata 0\n{1}"
    commit += "M 100644 inline {0}\ndata 1\nx\n"
    stream = commit.format("main", "") + commit.format("a", "from refs/heads/main\n")
    stream += commit.format("b", "from refs/heads/main\n")
    run_git("fast-import", "--quiet", cwd=store.path, stdin=stream.encode())
    main, a, b = (run_git("rev-parse", name, cwd=store.path).decode().strip() for name in ("main", "a", "b"))
    train = await branches.merge_parts([branches.part("a", a), branches.part("b", b)], onto=main)
    assert len(train.head) == 64
    assert branches.parents(train.head) == [train.merged[0].sha, b]
    assert run_git("ls-tree", "--name-only", train.head, cwd=store.path) == b"a\nb\nmain\n"
    assert run_git("fsck", "--strict", "--no-dangling", train.head, cwd=store.path) == b""


async def test_a_batch_is_ours_and_goes_into_a_backup_and_a_bundle(
    branches: Branches, tmp_path: Path
) -> None:
    branches.add("first", {"src/shop.py": LINES.replace("line 3\n", "three\n")})
    branches.add("second", {"src/shop.py": LINES.replace("line 20\n", "twenty\n")})
    train = await branches.merge("first", "second")
    line, store = branches.line, branches.line.store
    assert not await store.is_ours(train.head)
    await store.keep_batch(uuid4(), train.head)
    assert await store.is_ours(train.head)
    assert not await store.is_ours(train.merged[0].sha)

    for sha in (train.head, train.merged[0].sha):
        bundle = tmp_path / f"{sha}.bundle"
        await store.bundle_commit(sha, branches.base, bundle)
        clone = tmp_path / sha
        run_git("clone", "--quiet", "--single-branch", "--branch", "main", str(line.repo.path), str(clone))
        run_git("fetch", "--quiet", str(bundle), "HEAD", cwd=clone)
        assert run_git("rev-parse", "FETCH_HEAD", cwd=clone).decode().strip() == sha
        run_git("fsck", "--strict", cwd=clone)
    with pytest.raises(GitError, match="empty bundle"):
        await store.bundle_commit(train.head, train.head, tmp_path / "empty.bundle")
    assert not any(path.name.startswith(".bundle") for path in tmp_path.iterdir())  # noqa: ASYNC240

    content, refs = await transfer.pack(store.path, tmp_path)
    copy = tmp_path / "state" / "mirrors" / "copy.git"
    await transfer.unpack(copy, content, refs, borrow=line.mirror.path / "objects", fsck=True)
    assert train.head.encode() in run_git("for-each-ref", cwd=copy)
    run_git("fsck", "--strict", "--connectivity-only", cwd=copy)

    await removal.remove_project(tmp_path / "state", tmp_path / "demo", line.project_id)
    assert not store.path.exists()


async def test_what_runs_left_is_merged_and_pushed(branches: Branches) -> None:
    line, parts = branches.line, []
    for name in ("first", "second", "nothing"):
        line.run_id = run_of(name)
        work = await line.make()
        if name != "nothing":
            (work / f"{name}.txt").write_text(f"{name}\n")
        parts.append(Part(line.run_id, await line.finish(), f"Merge {name}\n"))
    train = await branches.merge_parts(parts)
    assert [one.sha for one in train.merged][1:] == [train.head, train.head]
    await line.store.keep_batch(uuid4(), train.head)
    await line.push(train.head)
    assert line.repo.branches()[BRANCH] == train.head
    assert line.repo.files(train.head) == ["README.md", "first.txt", "second.txt", "src/shop.py"]
    assert line.repo.show(train.head, "%s|%P") == f"Merge second|{train.merged[0].sha} {parts[1].sha}"
