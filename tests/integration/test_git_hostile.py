"""Workspaces and packs that were made to do harm, or that are simply in a bad state."""

import os
import socket
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from engine.errors import RunError
from engine.git.diff import PATCH_LIMIT, diff
from engine.git.workspace import Collected
from tests.support.gitline import CREDENTIAL, Line, MakeLine
from tests.support.gitserver import run_git

AS = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.com",
}


def plant(work: Path, marker: Path) -> None:
    """Everything in a workspace that has ever made git run a command. Each would touch the marker."""
    touch = f"touch {marker}"
    keys = {
        "core.fsmonitor": touch,
        "core.hooksPath": str(work / "hooks"),
        "core.sshCommand": touch,
        "core.editor": touch,
        "core.pager": touch,
        "core.alternateRefsCommand": touch,
        "core.gitProxy": touch,
        "diff.external": touch,
        "diff.evil.textconv": touch,
        "diff.evil.command": touch,
        "filter.evil.clean": touch,
        "filter.evil.smudge": touch,
        "filter.evil.process": touch,
        "filter.evil.required": "true",
        "merge.evil.driver": touch,
        "credential.helper": f"!{touch}",
        "gpg.program": touch,
        "commit.gpgSign": "true",
        "uploadpack.packObjectsHook": touch,
        "trace2.eventTarget": str(marker),
        "include.path": str(work / "more.config"),
    }
    for key, value in keys.items():
        run_git("config", key, value, cwd=work)
    (work / "more.config").write_text(f'[core]\n\tfsmonitor = "{touch}"\n')
    (work / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")
    for folder in (work / "hooks", work / ".git" / "hooks"):
        folder.mkdir(exist_ok=True)
        for name in ("pre-commit", "post-checkout", "post-index-change", "reference-transaction", "pre-push"):
            (folder / name).write_text(f"#!/bin/sh\n{touch}\n")
            (folder / name).chmod(0o755)
    (work / ".git" / "info").mkdir(exist_ok=True)
    (work / ".git" / "info" / "attributes").write_text("* filter=evil diff=evil\n")


async def test_what_a_workspace_plants_never_runs(line: Line, tmp_path: Path) -> None:
    marker = tmp_path / "it-ran"
    work = await line.make()
    plant(work, marker)
    with pytest.raises(subprocess.CalledProcessError):
        run_git("status", cwd=work)
    assert marker.exists(), "the trap itself must work"
    marker.unlink()
    (work / "src" / "shop.py").write_text("PRICE = 3\n")
    sha = await line.finish()
    await diff(line.store, line.base, sha)
    await line.push(sha)
    assert line.repo.read(sha, "src/shop.py") == b"PRICE = 3\n"
    assert not marker.exists()


async def test_a_planted_submodule_never_runs_on_the_way(line: Line, tmp_path: Path) -> None:
    marker = tmp_path / "it-ran"
    work = await line.make()
    nested = work / "vendor" / "lib"
    nested.mkdir(parents=True)
    run_git("init", "-q", cwd=nested)
    (nested / "lib.py").write_text("x = 1\n")
    run_git("add", "-A", cwd=nested)
    run_git("commit", "-qm", "x", cwd=nested, **AS)
    plant(nested, marker)
    collected = await line.collect()
    await line.take_over(collected)
    sha = await line.commit(collected)
    await line.push(sha)
    assert "vendor/lib/lib.py" in line.repo.files(sha)
    assert not [name for name in line.repo.files(sha) if ".git/" in name]
    assert any("carried as plain files" in note for note in collected.notes)
    assert not marker.exists()


async def test_a_repository_without_commits_inside_the_workspace_is_carried(line: Line) -> None:
    work = await line.make()
    (work / "app").mkdir()
    run_git("init", "-q", cwd=work / "app")
    (work / "app" / "main.py").write_text("x = 1\n")
    sha = await line.finish()
    await line.push(sha)
    assert "app/main.py" in line.repo.files(sha)


@pytest.mark.parametrize("damage", ["deleted", "file", "link", "no-head", "garbage"])
async def test_a_broken_repository_still_gives_its_files(line: Line, damage: str) -> None:
    work = await line.make()
    (work / "a.txt").write_text("a\n")
    git_dir = work / ".git"
    if damage in ("deleted", "file", "link"):
        git_dir.rename(line.scratch / "gone")
    if damage == "file":
        git_dir.write_text("gitdir: /etc\n")
    if damage == "link":
        git_dir.symlink_to("/etc")
    if damage == "no-head":
        (git_dir / "HEAD").unlink()
    if damage == "garbage":
        (git_dir / "index").write_bytes(b"garbage")
        (git_dir / "config").write_bytes(b"[[[")
        (git_dir / "objects" / "info" / "alternates").write_text("/nowhere\n")
    sha = await line.finish()
    await line.push(sha)
    assert line.repo.files(sha) == ["README.md", "a.txt", "src/shop.py"]


async def test_a_detached_head_and_another_branch_are_carried(line: Line) -> None:
    work = await line.make()
    run_git("checkout", "-q", "-b", "my-own", cwd=work)
    (work / "a.txt").write_text("a\n")
    run_git("add", "-A", cwd=work)
    run_git("commit", "-qm", "On my own branch", cwd=work)
    run_git("checkout", "-q", "--detach", cwd=work)
    sha = await line.finish()
    assert run_git("rev-parse", "HEAD", cwd=work).decode().strip() == sha


async def test_rewritten_history_is_carried_as_one_commit(line: Line) -> None:
    work = await line.make()
    (work / "a.txt").write_text("a\n")
    run_git("checkout", "-q", "--orphan", "new", cwd=work)
    run_git("add", "-A", cwd=work)
    run_git("commit", "-qm", "From nothing", cwd=work)
    collected = await line.collect()
    assert collected.head == line.base
    assert any("do not build on" in note for note in collected.notes)
    await line.take_over(collected)
    sha = await line.commit(collected)
    assert line.store.path.exists()
    await line.push(sha)
    assert line.repo.show(sha, "%P %s") == f"{line.base} Do the task"


async def test_a_merge_left_in_the_middle_gives_the_files_as_they_are(line: Line) -> None:
    work = await line.make()
    for branch, price in (("one", 5), ("two", 6)):
        run_git("checkout", "-q", "-b", branch, line.base, cwd=work)
        (work / "src" / "shop.py").write_text(f"PRICE = {price}\n")
        run_git("commit", "-qam", branch, cwd=work)
    with pytest.raises(subprocess.CalledProcessError):
        run_git("merge", "one", cwd=work)
    sha = await line.finish()
    await line.push(sha)
    assert b"<<<<<<<" in line.repo.read(sha, "src/shop.py")


async def test_odd_files_do_not_stop_it(line: Line) -> None:
    work = await line.make()
    os.mkfifo(work / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        previous = Path.cwd()
        os.chdir(work)  # a socket's path is short
        server.bind("socket")
        os.chdir(previous)
    (work / "closed").mkdir()
    (work / "closed" / "secret.txt").write_text("kept\n")
    (work / "closed" / "secret.txt").chmod(0)
    (work / "closed").chmod(0)
    (work / "dangling").symlink_to("/nowhere")
    sha = await line.finish()
    await line.push(sha)
    assert line.repo.files(sha) == ["README.md", "closed/secret.txt", "dangling", "src/shop.py"]


async def test_an_index_that_hides_changes_hides_nothing(line: Line) -> None:
    work = await line.make()
    run_git("update-index", "--assume-unchanged", "README.md", cwd=work)
    run_git("update-index", "--skip-worktree", "src/shop.py", cwd=work)
    (work / ".git" / "info").mkdir(exist_ok=True)
    (work / ".git" / "info" / "exclude").write_text("*\n")
    (work / "README.md").write_text("changed\n")
    (work / "src" / "shop.py").write_text("PRICE = 9\n")
    (work / "new.txt").write_text("new\n")
    sha = await line.finish()
    shown = await diff(line.store, line.base, sha)
    assert [file.path for file in shown.files] == ["README.md", "new.txt", "src/shop.py"]


async def test_ignored_files_stay_out_unless_they_were_added_by_force(make_line: MakeLine) -> None:
    line = make_line({".gitignore": "*.log\nbuild/\n", "a": "a\n"})
    work = await line.make()
    (work / "build").mkdir()
    for name in ("one.log", "two.log", "three.log", "build/out"):
        (work / name).write_text("x\n")
    run_git("add", "-f", "one.log", cwd=work)
    run_git("commit", "-qm", "By force", cwd=work)
    run_git("add", "-f", "two.log", cwd=work)
    sha = await line.finish()
    await line.push(sha)
    assert line.repo.files(sha) == [".gitignore", "a", "one.log", "two.log"]


async def test_removed_and_moved_files(line: Line) -> None:
    work = await line.make()
    (work / "README.md").rename(work / "READ-ME.md")
    (work / "src" / "shop.py").unlink()
    sha = await line.finish()
    shown = await diff(line.store, line.base, sha)
    assert [(file.path, file.additions, file.deletions) for file in shown.files] == [
        ("READ-ME.md", 1, 0),
        ("README.md", 0, 1),
        ("src/shop.py", 0, 1),
    ]


async def test_an_old_file_put_back_is_taken(line: Line) -> None:
    line.repo.commit({"src/shop.py": "PRICE = 2\n"})
    work = await line.make()
    (work / "src" / "shop.py").write_text("PRICE = 1\n")
    sha = await line.finish()
    await line.push(sha)
    assert line.repo.read(sha, "src/shop.py") == b"PRICE = 1\n"


# -- packs -------------------------------------------------------------------------------------


async def changed(line: Line) -> Collected:
    work = await line.make()
    (work / "a.txt").write_text("a\n")
    return await line.collect()


async def refused(line: Line, collected: Collected, limit_mb: int = 64) -> RunError:
    with pytest.raises(RunError) as caught:
        await line.take_over(collected, limit_mb)
    assert not list((line.store.path / "objects" / "pack").glob("*.pack"))
    assert not list(line.store.path.glob("quarantine/*"))
    return caught.value


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "nonsense"])
async def test_a_damaged_pack_is_refused(line: Line, damage: str) -> None:
    collected = await changed(line)
    content = bytearray(line.pack.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 0xFF
    damaged = {"flipped": content, "cut": content[:-30], "empty": b"", "nonsense": b"x" * 99}
    line.pack.write_bytes(damaged[damage])
    assert "damaged" in (await refused(line, collected)).reason


async def test_a_pack_over_the_limit_is_refused(line: Line) -> None:
    work = await line.make()
    (work / "big.bin").write_bytes(os.urandom(2 << 20))
    with pytest.raises(RunError) as caught:
        await line.collect(limit_mb=1)
    assert caught.value.kind == "limit"
    error = await refused(line, await line.collect(), limit_mb=1)
    assert error.kind == "limit" and "larger than 1 MB" in error.reason


def pack_of(line: Line, folder: Path, entries: str) -> Collected:
    """A pack with one tree of these entries ("MODE TYPE SHA\\tNAME"), and nothing that they name."""
    run_git("init", "-q", "--bare", str(folder))
    tree = run_git("mktree", "--missing", cwd=folder, stdin=entries.encode()).decode().strip()
    line.pack.write_bytes(run_git("pack-objects", "--stdout", "-q", cwd=folder, stdin=f"{tree}\n".encode()))
    return Collected(line.base, tree, True)


async def test_work_of_another_run_cannot_be_named(line: Line, tmp_path: Path) -> None:
    work = await line.make()
    (work / "plan.txt").write_text("of another\n")
    theirs = await line.finish()
    blob = run_git("rev-parse", f"{theirs}:plan.txt", cwd=line.store.path).decode().strip()
    line.run_id = uuid4()
    stolen = pack_of(line, tmp_path / "thief", f"100644 blob {blob}\tmine.txt\n")
    with pytest.raises(RunError, match="damaged"):
        await line.take_over(stolen)


async def test_what_the_base_does_not_reach_cannot_be_named(line: Line, tmp_path: Path) -> None:
    line.repo.commit({"hidden.txt": "of another branch\n"}, "hidden")
    blob = run_git("rev-parse", "hidden:hidden.txt", cwd=line.repo.path).decode().strip()
    await line.make()
    run_git("cat-file", "-e", blob, cwd=line.mirror.path)
    stolen = pack_of(line, tmp_path / "thief", f"100644 blob {blob}\tmine.txt\n")
    error = await refused(line, stolen)
    assert "neither in it nor in the run's base" in error.reason


async def test_a_head_beside_the_base_is_refused(line: Line) -> None:
    other = line.repo.commit({"x": "y"}, "other")
    line.repo.commit({"z": "z"}, "main")
    collected = await changed(line)
    assert (await refused(line, Collected(other, collected.tree, True))).kind == "sandbox"


@pytest.mark.parametrize("name", [".git", "..", ".", "a/b"])
async def test_a_tree_that_would_write_elsewhere_is_refused(line: Line, tmp_path: Path, name: str) -> None:
    await line.make()
    folder = tmp_path / "thief"
    run_git("init", "-q", "--bare", str(folder))
    blob = run_git("hash-object", "-w", "--stdin", cwd=folder, stdin=b"x").decode().strip()
    raw = f"100644 {name}\0".encode() + bytes.fromhex(blob)
    tree = run_git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", cwd=folder, stdin=raw)
    names = tree + f"{blob}\n".encode()
    line.pack.write_bytes(run_git("pack-objects", "--stdout", "-q", cwd=folder, stdin=names))
    assert (await refused(line, Collected(line.base, tree.decode().strip(), True))).kind == "sandbox"


@pytest.mark.parametrize("sha", ["--output=/tmp/x", "HEAD", "", "0" * 40, "refs/heads/main"])
async def test_what_is_no_object_name_is_refused(line: Line, sha: str) -> None:
    collected = await changed(line)
    assert (await refused(line, Collected(sha, collected.tree, True))).kind == "sandbox"
    assert (await refused(line, Collected(line.base, sha, True))).kind == "sandbox"


# -- commits and diffs -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("author", "shown"),
    [
        (("Evil\nCommitter: x <y>", "a@b\n>"), "Evil Committer: x y <a@b>"),
        (("", ""), "OpenLinear <agent@openlinear.invalid>"),
        (("\x00<>", ".,;"), "OpenLinear <agent@openlinear.invalid>"),
        (("Zoë Ü", "z@example.com"), "Zoë Ü <z@example.com>"),
    ],
)
async def test_authors_cannot_forge_lines(line: Line, author: tuple[str, str], shown: str) -> None:
    collected = await changed(line)
    await line.take_over(collected)
    sha = await line.store.commit(
        line.run_id,
        base=line.base,
        head=collected.head,
        tree=collected.tree,
        message="A\x00 title\n\nCo-authored-by: OpenCode <opencode@example.com>",
        author=author,
        when=datetime(2026, 1, 1, tzinfo=UTC),
    )
    body = run_git("show", "-s", "--format=%an <%ae>%n%B", sha, cwd=line.store.path).decode().splitlines()
    assert body[:2] == [shown, "A title"]
    assert "Co-authored-by: OpenCode <opencode@example.com>" in body


async def test_a_long_diff_is_cut_and_its_figures_are_true(line: Line) -> None:
    work = await line.make()
    (work / "long.txt").write_text("0123456789\n" * 400_000)
    (work / "image.bin").write_bytes(b"\0\1\2")
    (work / "odd.txt").write_bytes(b"x\n" * 5_000 + b"\0\xff\n")
    shown = await diff(line.store, line.base, await line.finish())
    assert len(shown.patch.encode()) < PATCH_LIMIT + 200
    assert shown.patch.endswith("[The diff is longer than 2 MB and is cut here.]\n")
    assert "\0" not in shown.patch
    figures = {file.path: (file.additions, file.deletions, file.binary) for file in shown.files}
    assert figures == {
        "image.bin": (0, 0, True),
        "long.txt": (400_000, 0, False),
        "odd.txt": (5_001, 0, False),
    }


async def test_two_projects_share_nothing(line: Line) -> None:
    await line.make()
    assert isinstance(line.project_id, UUID)
    assert await line.mirror.refresh(line.remote, CREDENTIAL, "main") == line.base
    assert line.mirror.path.parent.stat().st_mode & 0o777 == 0o700
