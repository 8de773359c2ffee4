"""From a remote to a pushed branch: mirror, workspace, collecting, taking over, committing, pushing."""

import asyncio
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from engine.errors import RunError
from engine.git import mirror, workspace
from engine.git.diff import diff
from engine.git.publish import BranchMoved
from engine.git.transport import remote_tip
from tests.support.gitline import BRANCH, CREDENTIAL, Line, MakeLine
from tests.support.gitserver import TOKEN, run_git


def files_holding(text: str, folder: Path) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if text.encode() in path.read_bytes()]


async def test_an_edit_arrives_as_a_branch_of_the_remote(line: Line) -> None:
    work = await line.make()
    (work / "src" / "shop.py").write_text("PRICE = 2\n")
    (work / "new file.txt").write_text("one\ntwo\n")
    sha = await line.finish()
    await line.push(sha)

    assert line.repo.branches() == {"main": line.base, BRANCH: sha}
    assert line.repo.read(sha, "src/shop.py") == b"PRICE = 2\n"
    assert line.repo.show(sha, "%an <%ae> %ct %P") == f"Ada Lovelace <ada@example.com> 1767323045 {line.base}"
    shown = await diff(line.store, line.base, sha)
    assert [(file.path, file.additions, file.deletions) for file in shown.files] == [
        ("new file.txt", 2, 0),
        ("src/shop.py", 1, 1),
    ]
    assert (shown.additions, shown.deletions) == (3, 1)
    assert "-PRICE = 1\n+PRICE = 2\n" in shown.patch


async def test_the_pack_holds_what_is_new_and_nothing_else(make_line: MakeLine) -> None:
    line = make_line({f"folder{number}/file": f"{number}\n" for number in range(50)})
    work = await line.make()
    (work / "folder1" / "file").write_text("changed\n")
    await line.collect()
    count = int.from_bytes(line.pack.read_bytes()[8:12], "big")
    assert count == 3  # the file, its folder, the root


async def test_every_step_can_be_repeated(line: Line) -> None:
    work = await line.make()
    (work / "README.md").write_text("# Shop, better\n")
    await line.make()
    assert (work / "README.md").read_text() == "# Shop, better\n"
    first, second = await line.collect(), await line.collect()
    assert first == second
    await line.take_over(first)
    await line.take_over(first)
    sha = await line.commit(first)
    assert await line.commit(first) == sha
    await line.push(sha)
    await line.push(sha)
    assert line.repo.branches()[BRANCH] == sha
    assert await line.store.is_ours(sha)
    assert not await line.store.is_ours(line.base)


async def test_no_change_is_no_commit(line: Line) -> None:
    await line.make()
    collected = await line.collect()
    assert not collected.changed
    assert line.pack.stat().st_size == 0
    assert await line.commit(collected) == line.base


async def test_the_agents_own_commits_are_carried(line: Line) -> None:
    work = await line.make()
    (work / "a.txt").write_text("a\n")
    run_git("add", "-A", cwd=work)
    run_git("commit", "-qm", "By the agent", cwd=work)
    own = run_git("rev-parse", "HEAD", cwd=work).decode().strip()
    sha = await line.finish()
    assert sha == own
    await line.push(sha)
    assert line.repo.show(BRANCH, "%s by %an") == "By the agent by OpenLinear Agent"


async def test_what_the_agent_left_uncommitted_goes_on_top_of_its_commits(line: Line) -> None:
    work = await line.make()
    (work / "a.txt").write_text("a\n")
    run_git("add", "-A", cwd=work)
    run_git("commit", "-qm", "By the agent", cwd=work)
    (work / "b.txt").write_text("b\n")
    sha = await line.finish()
    await line.push(sha)
    subjects = run_git("log", "--format=%s", f"{line.base}..{sha}", cwd=line.repo.path).decode().split("\n")
    assert subjects[:2] == ["Do the task", "By the agent"]
    assert line.repo.files(sha) == ["README.md", "a.txt", "b.txt", "src/shop.py"]


async def test_a_second_run_does_not_overwrite_the_commits_of_others(line: Line) -> None:
    work = await line.make()
    (work / "a.txt").write_text("a\n")
    sha = await line.finish()
    await line.push(sha)
    theirs = line.repo.commit({"theirs.txt": "x\n"}, BRANCH)
    with pytest.raises(BranchMoved):
        await line.push(line.base, expected=sha)
    assert await remote_tip(line.remote, CREDENTIAL, BRANCH) == theirs
    assert not await line.store.is_ours(theirs)


async def test_our_own_branch_is_updated(line: Line) -> None:
    work = await line.make()
    (work / "a.txt").write_text("a\n")
    first = await line.finish()
    await line.push(first)
    (work / "a.txt").write_text("b\n")
    second = await line.finish()
    await line.push(second, expected=first)
    assert line.repo.branches()[BRANCH] == second


async def test_names_modes_links_and_submodules_survive(make_line: MakeLine) -> None:
    awkward = {
        "new\nline.txt": "a\n",
        'quo"te': "b\n",
        "-dash": "c\n",
        "umlaut-ä": "d\n",
        "run.sh": ("100755", "#!/bin/sh\n"),
        "out": ("120000", "../../../../etc/passwd"),
        "lib": ("160000", "1" * 40),
        ".gitmodules": '[submodule "lib"]\n\tpath = lib\n\turl = https://example.com/lib.git\n',
        "big.bin": "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n",
        ".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n*.txt text eol=crlf\n",
    }
    line = make_line(awkward)
    work = await line.make()
    assert (work / "out").is_symlink()
    (work / "new\nline.txt").write_text("changed\r\n")
    sha = await line.finish()
    await line.push(sha)
    changed = run_git("diff", "--name-only", "-z", line.base, sha, cwd=line.repo.path)
    assert changed == b"new\nline.txt\0"
    shown = await diff(line.store, line.base, sha)
    assert [file.path for file in shown.files] == ["new\nline.txt"]


async def test_two_refreshes_at_once_agree(line: Line) -> None:
    tips = await asyncio.gather(*(line.mirror.refresh(line.remote, CREDENTIAL, "main") for _ in range(4)))
    assert set(tips) == {line.repo.branches()["main"]}


async def test_a_killed_fetch_leaves_nothing_in_the_way(line: Line) -> None:
    await line.make()
    newer = line.repo.commit({"x": "y\n"})
    for name in ("packed-refs.lock", "refs/remotes/origin/main.lock", "objects/pack/tmp_pack_abc"):
        (line.mirror.path / name).touch()
    assert await line.mirror.refresh(line.remote, CREDENTIAL, "main") == newer
    assert not (line.mirror.path / "objects/pack/tmp_pack_abc").exists()


async def test_only_what_the_remote_showed_is_lent(line: Line) -> None:
    work = await line.make()
    (work / "secret-plan.txt").write_text("not pushed yet\n")
    sha = await line.finish()
    await line.mirror.refresh(line.remote, CREDENTIAL, "main")
    lent = line.sandbox.root / "objects" / str(line.project_id)
    await line.mirror.share(lent)
    packs = sorted((lent / "pack").iterdir())
    assert packs and all(pack.stat().st_mode & 0o777 == 0o444 for pack in packs)
    (line.scratch / "look" / "objects" / "info").mkdir(parents=True)
    run_git("init", "--bare", "-q", str(line.scratch / "look"))
    (line.scratch / "look" / "objects" / "info" / "alternates").write_text(f"{lent}\n")
    run_git("cat-file", "-e", line.base, cwd=line.scratch / "look")
    with pytest.raises(subprocess.CalledProcessError):
        run_git("cat-file", "-e", sha, cwd=line.scratch / "look")


async def test_many_packs_are_joined_under_workspaces_that_borrow_them(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "PACKS", 3)
    work = await line.make()
    first = line.base
    for number in range(6):
        line.repo.commit({f"file{number}": f"{number}\n" * 100})
        (work / "a.txt").write_text(f"{number}\n")
        await line.finish()
        await line.mirror.refresh(line.remote, CREDENTIAL, "main")
        await line.mirror.share(line.sandbox.root / "objects" / str(line.project_id))
    for folder in (line.mirror.path / "objects", line.store.path / "objects"):
        assert len(list((folder / "pack").glob("*.pack"))) <= 4
    run_git("fsck", "--full", "--strict", cwd=work)
    run_git("fsck", "--full", cwd=line.store.path)
    assert line.base == first
    await line.push(await line.finish())


async def test_a_removed_workspace_can_be_removed_again(line: Line) -> None:
    work = await line.make()
    (work / "locked").mkdir()
    (work / "locked" / "file").touch()
    (work / "locked").chmod(0)
    for _ in range(2):
        await workspace.remove(line.sandbox, line.sandbox.box, line.run_id, project_id=line.project_id)
    left = [path.name for path in (line.sandbox.root / "repos").rglob("*") if path.is_file()]
    assert sorted(left) == ["README.md", "shop.py"]  # a spare: what is tracked, and nothing else


async def next_run(line: Line) -> Path:
    """The end of the line's run and the start of another one of its project, on a spare workspace."""
    before = (line.work / "README.md").stat().st_ino
    await workspace.remove(line.sandbox, line.sandbox.box, line.run_id, project_id=line.project_id)
    line.run_id = uuid4()
    work = await line.make()
    assert (work / "README.md").stat().st_ino == before
    return work


async def test_a_spare_workspace_holds_the_base_and_nothing_of_the_last_run(
    make_line: MakeLine, tmp_path: Path
) -> None:
    files = {".gitignore": "ignored\n", "README.md": "# Shop\n", ".gitattributes": "*.bat eol=crlf\n"}
    files |= {f"src/{name}.py": f"{name}\n" for name in ("edited", "gone", "linked", "runs", "same", "shut")}
    line = make_line(files | {"folder/one": "one\n"})
    work = await line.make()
    source = work / "src"
    (source / "edited.py").write_text("EDITED\n")
    (source / "gone.py").unlink()
    (source / "runs.py").chmod(0o755)
    (source / "shut.py").chmod(0o400)
    (tmp_path / "elsewhere").hardlink_to(source / "linked.py")
    (work / "folder").rename(tmp_path / "moved")
    (work / "folder").symlink_to(tmp_path / "moved")
    (source / "new.py").write_text("new\n")
    (work / "ignored").write_text("secret\n")
    (work / ".gitattributes").write_text("* text eol=crlf\n")
    (source / "same.py").write_bytes(b"same\r\n")
    run_git("init", "--quiet", "nested", cwd=work)
    (work / ".git" / "hooks").mkdir(exist_ok=True)
    (work / ".git" / "hooks" / "post-checkout").write_text("#!/bin/sh\ntouch ran\n")

    work = await next_run(line)

    found = {str(path.relative_to(work)): path for path in work.rglob("*") if path.is_file()}
    assert {name: path.read_text() for name, path in found.items() if not name.startswith(".git/")} == dict(
        files | {"folder/one": "one\n"}
    )
    source = work / "src"
    assert (source / "same.py").read_bytes() == b"same\n"
    assert not (work / "folder").is_symlink()
    assert (source / "linked.py").stat().st_nlink == 1
    (source / "shut.py").write_text("open\n")
    assert run_git("status", "--porcelain", "--ignored", cwd=work) == b" M src/shut.py\n"
    assert not (work / ".git" / "hooks").exists()


async def test_a_spare_workspace_follows_the_remote(line: Line) -> None:
    await line.make()
    line.repo.commit({"src/shop.py": "PRICE = 3\n", "src/new.py": "NEW = 1\n"})
    work = await next_run(line)
    assert (work / "src" / "shop.py").read_text() == "PRICE = 3\n"
    assert run_git("status", "--porcelain", "--ignored", cwd=work) == b""
    collected = await line.collect()
    assert not collected.changed


async def test_at_most_three_spares_are_kept(line: Line) -> None:
    runs = [uuid4() for _ in range(5)]
    for line.run_id in runs:
        await line.make()
    for run_id in runs:
        await workspace.remove(line.sandbox, line.sandbox.box, run_id, project_id=line.project_id)
    spares = {path.name for path in (line.sandbox.root / "repos" / ".spares").iterdir()}
    assert spares == {f"{line.project_id}.{run_id}" for run_id in runs[2:]}


@pytest.mark.parametrize("spare", [False, True])
async def test_a_workspace_that_was_begun_is_filled_in_place(line: Line, spare: bool) -> None:
    """The agent's server has its folder and its `.git` open by then."""
    if spare:
        await line.make()
        await workspace.remove(line.sandbox, line.sandbox.box, line.run_id, project_id=line.project_id)
        line.run_id = uuid4()
    for _ in range(2):
        await workspace.begin(line.sandbox, line.sandbox.box, line.run_id, branch=BRANCH)
    assert [path.name for path in line.work.iterdir()] == [".git"]
    before = [path.stat().st_ino for path in (line.work, line.work / ".git")]

    work = await line.make()

    assert [path.stat().st_ino for path in (work, work / ".git")] == before
    assert run_git("symbolic-ref", "--short", "HEAD", cwd=work) == f"{BRANCH}\n".encode()
    assert run_git("rev-parse", "HEAD", cwd=work).decode().strip() == line.base
    assert run_git("status", "--porcelain", "--ignored", cwd=work) == b""
    assert (work / "README.md").is_file()
    await workspace.begin(line.sandbox, line.sandbox.box, line.run_id, branch=BRANCH)
    assert (work / "README.md").is_file()
    (work / "new.py").write_text("new\n")
    await line.push(await line.finish())


async def test_a_workspace_that_was_only_begun_is_removed_without_a_trace(line: Line) -> None:
    await workspace.begin(line.sandbox, line.sandbox.box, line.run_id, branch=BRANCH)
    await workspace.remove(line.sandbox, line.sandbox.box, line.run_id, project_id=line.project_id)
    assert list((line.sandbox.root / "repos").iterdir()) == []


async def test_a_half_made_workspace_is_made_again(line: Line) -> None:
    work = await line.make()
    (line.sandbox.root / "repos" / f".{line.run_id}" / "base").unlink()
    (work / "README.md").write_text("half")
    await line.make()
    assert (work / "README.md").read_text() == "# Shop\n"


async def test_the_token_is_written_nowhere(line: Line, tmp_path: Path) -> None:
    work = await line.make()
    (work / "a.txt").write_text("a\n")
    await line.push(await line.finish())
    assert line.repo.branches().keys() == {"main", BRANCH}
    assert files_holding(TOKEN, tmp_path) == []


async def test_a_missing_branch_is_named(line: Line) -> None:
    with pytest.raises(RunError, match=r"no branch named trunk\. It has main"):
        await line.mirror.refresh(line.remote, CREDENTIAL, "trunk")
