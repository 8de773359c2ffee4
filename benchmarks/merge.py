"""Merging a batch in the store, against `git merge --no-ff` in a worktree, its set-up included.

Both begin with a copy of the same store in every round, so that neither finds objects of the other's.
"""

import asyncio
import random
import shutil
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.parts import Watch, folder
from benchmarks.repository import BYTES, FILES, SEED, make_repository
from benchmarks.table import Figures, Ratio, Series
from engine.git.merge import Part, merge
from engine.git.mirror import Mirror
from engine.git.remote import parse
from engine.git.store import Store
from engine.ports import Credential
from tests.support.gitserver import TOKEN, run_git, serve_git

REPEATS = 7
COUNTS = (20, 100)
CHANGED = 4
"""Files that a branch has to itself; it adds one, and changes a line of one that all of them change."""
WHEN = datetime(2026, 1, 1, tzinfo=UTC)
WHO = ("Bench", "bench@example.com")
ADD = ("worktree", "add", "--quiet", "--detach")
MERGE = ("merge", "--quiet", "--no-ff", "--no-stat", "-m", "Merge a task")


async def measure() -> Figures:
    with folder("merge") as home, serve_git(home) as git:
        repo = make_repository(git)
        repo.commit({"CHANGES.md": _changes()})
        mirror = Mirror(home / "repos", uuid.uuid4())
        base = await mirror.refresh(parse(repo.url, allow_local=True), Credential("bench", TOKEN), "main")
        store = Store(mirror)
        parts = [part async for part in _branches(store, base, max(COUNTS))]
        series, ratios = [], []
        for count in COUNTS:
            ours, floor = await _compare(home, store, base, parts[:count])
            series += [ours, floor]
            ratios.append(Ratio(ours, floor, 0.1))
    return Figures(
        "Merging a batch",
        series,
        ratios,
        [("repository", f"{FILES:,} files, {BYTES >> 20} MiB; {CHANGED + 2} files of it in each branch")],
    )


def _changes(number: int = -1) -> str:
    """A file that every branch changes, each in a place of its own."""
    return "".join(f"- {line}\n" if line != 4 * number else "- changed\n" for line in range(4 * max(COUNTS)))


async def _branches(store: Store, base: str, count: int) -> AsyncIterator[Part]:
    """Commits as runs leave them: a pack each, until there are many."""
    await store.create()
    listing = run_git("ls-tree", "-r", "--name-only", base, "src/", cwd=store.path)
    own = iter(random.Random(SEED).sample(listing.decode().split(), CHANGED * count))
    for number in range(count):
        lines = [
            f"commit refs/bench\ncommitter Bench <b@example.com> 1767225600 +0000\ndata 0\nfrom {base}\n"
        ]
        files = {"CHANGES.md": _changes(number), f"src/new_{number}.py": f"NUMBER = {number}\n" * 50}
        for path in (next(own) for _ in range(CHANGED)):
            old = run_git("cat-file", "blob", f"{base}:{path}", cwd=store.path).decode()
            files[path] = old + f"CHANGED = {number}\n"
        lines += [f"M 100644 inline {path}\ndata {len(text)}\n{text}\n" for path, text in files.items()]
        fast = ("-c", "fastimport.unpackLimit=1", "fast-import", "--quiet", "--force")
        run_git(*fast, cwd=store.path, stdin="".join(lines).encode())
        sha = run_git("rev-parse", "refs/bench", cwd=store.path).decode().strip()
        await store.keep_batch(uuid.uuid4(), sha)  # joins the packs as the product does
        yield Part(uuid.uuid4(), sha, "Merge a task\n")


async def _compare(home: Path, store: Store, base: str, parts: list[Part]) -> tuple[Series, Series]:
    """Both in turn; the first round warms up. They make the same tree, or the figure means nothing.

    What was used stays till the end: file systems without a journal do not use the inodes of files that were
    just removed, and look at each of them.
    """
    ours = Series(f"ours, {len(parts)} branches", [])
    floor = Series(f"git worktree add and merge --no-ff, {len(parts)}", [])
    pristine, plain = store.path.with_name("pristine.git"), store.path.with_name("plain.git")
    for copy in (pristine, plain):
        await asyncio.to_thread(shutil.copytree, store.path, copy)
    try:
        for number in range(REPEATS + 1):
            for path in (store.path, plain):
                path.rename(home / f"{path.name}-{len(parts)}-{number}")
                await asyncio.to_thread(shutil.copytree, pristine, path)
            watch = Watch()
            train = await merge(store, onto=base, parts=parts, author=WHO, when=WHEN)
            taken = watch.seconds
            assert len(train.merged) == len(parts)
            tree = home / f"tree-{len(parts)}-{number}"
            watch = Watch()
            await asyncio.to_thread(_plain, plain, tree, base, parts)
            took = watch.seconds
            merged = run_git("rev-parse", "HEAD^{tree}", cwd=tree).decode().strip()
            assert merged == train.tree
            if number:
                ours.seconds.append(taken)
                floor.seconds.append(took)
    finally:
        store.path.rename(home / f"{store.path.name}-{len(parts)}")
        plain.rename(home / f"{plain.name}-{len(parts)}")
        pristine.rename(store.path)
    return ours, floor


def _plain(repository: Path, tree: Path, base: str, parts: list[Part]) -> None:
    """As a careful script would, without git's own tidying up."""
    who = {f"GIT_COMMITTER_{key}": value for key, value in zip(("NAME", "EMAIL"), WHO, strict=True)}
    who |= {f"GIT_AUTHOR_{key}": value for key, value in zip(("NAME", "EMAIL"), WHO, strict=True)}
    quick = ("-c", "gc.auto=0", "-c", "maintenance.auto=false")
    run_git(*ADD, str(tree), base, cwd=repository)
    for part in parts:
        run_git(*quick, *MERGE, part.sha, cwd=tree, **who)
