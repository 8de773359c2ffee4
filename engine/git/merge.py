"""Merging runs' commits in a project's store, without a checkout, in one process for all of them.

`git merge-tree` is asked pair by pair and answers with a tree; the commit on it is written here. No
attribute, hook or configuration of a repository has a say: the store has none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from engine.errors import RunError
from engine.git.command import GitError, converse, git, plain
from engine.git.commits import OBJECT, Identity, identity, write_commit
from engine.git.mergetree import MergeTree
from engine.git.store import Store

SECONDS = 300.0
_RULES = (  # git's own, except that among thousands of new files renames are looked for by content alone
    *("-c", "merge.renames=true"),
    *("-c", "merge.renameLimit=1000"),
    *("-c", "merge.directoryRenames=conflict"),
)


@dataclass(frozen=True, slots=True)
class Part:
    """A run's commit, and what its merge commit shall say."""

    run_id: UUID
    sha: str
    message: str


@dataclass(frozen=True, slots=True)
class Merged:
    run_id: UUID
    sha: str
    """The head after this merge: the one before it where that held the part already."""


@dataclass(frozen=True, slots=True)
class Clash:
    """A part that was left out."""

    run_id: UUID
    files: tuple[str, ...]
    """The paths in conflict, in git's order; bytes that are no UTF-8 are replaced."""
    others: tuple[UUID, ...]
    """The merged parts that it clashes with each by itself. None: what it started from has changed."""


@dataclass(frozen=True, slots=True)
class Train:
    """`head` and its `tree` with all that could be merged, in order; `onto` itself where nothing was."""

    head: str
    tree: str
    merged: tuple[Merged, ...]
    clashes: tuple[Clash, ...]


async def merge(
    store: Store,
    *,
    onto: str,
    parts: Sequence[Part],
    author: tuple[str, str],
    when: datetime,
    stop_at_clash: bool = False,
) -> Train:
    """Merge each part into `onto`, as `git merge --no-ff` would; a clash is left out, or ends it.

    `author` is (name, email). The same arguments always give the same commits; nothing names them yet.
    RunError when a commit is not there, has no history in common with `onto`, or it takes too long.
    """
    if not all(OBJECT.fullmatch(name) for name in (onto, *(part.sha for part in parts))):
        raise RunError("What is to be merged is named by something else than a commit's hash.")
    await store.create()
    try:
        tree = await _tree(store, onto, parts)
        new = await _new_commits(store, onto, parts)
        train = _Building(store.path / "objects", identity(author, when), onto, tree, new)
        return await converse(
            # Without messages it keeps its answers to itself until its input ends.
            *(*_RULES, "merge-tree", "--write-tree", "--stdin", "--name-only", "--messages"),
            talk=lambda to, answers: train.build(MergeTree(to, answers), parts, stop_at_clash),
            git_dir=store.path,
            timeout=SECONDS,
        )
    except GitError as error:
        raise RunError(f"The tasks could not be merged: {plain(error.stderr)}") from error


async def _tree(store: Store, onto: str, parts: Sequence[Part]) -> str:
    """The tree of `onto`. RunError when anything that is to be merged is no commit, or not there.

    Git would take a commit whose tree is missing for one that deletes every file.
    """
    names = [onto, *(part.sha for part in parts)]
    asked = "".join(f"{name}\n{name}^{{tree}}\n" for name in names).encode()
    form = "--batch-check=%(objecttype) %(objectname)"
    listing = (await git("cat-file", form, git_dir=store.path, stdin=asked)).stdout.decode().splitlines()
    for name, kind, tree in zip(names, listing[::2], listing[1::2], strict=True):
        if kind != f"commit {name}":
            raise RunError(f"The project's store holds no commit {name[:12]}. Run its task again.")
        if not tree.startswith("tree "):
            raise RunError(
                f"The project's store does not hold the files of the commit {name[:12]}. Run its task again."
            )
    return listing[1].removeprefix("tree ")


async def _new_commits(store: Store, onto: str, parts: Sequence[Part]) -> dict[str, list[str]]:
    """Every commit that the parts add to `onto`, with its parents."""
    asked = "".join(f"{name}\n" for name in [*(part.sha for part in parts), f"^{onto}"]).encode()
    listing = await git("rev-list", "--parents", "--stdin", git_dir=store.path, stdin=asked)
    if listing.cut:
        raise RunError("The tasks add too many commits to be merged.", "limit")
    lines = (line.split(" ") for line in listing.stdout.decode().splitlines())
    return {sha: parents for sha, *parents in lines}


class _Building:
    """A train as far as it is built. `new` shrinks to the commits that its head does not hold."""

    def __init__(self, objects: Path, by: Identity, head: str, tree: str, new: dict[str, list[str]]) -> None:
        self._objects = objects
        self._by = by
        self._head = head
        self._tree = tree
        self._new = new
        self._on_board: list[Part] = []

    def build(self, git: MergeTree, parts: Sequence[Part], stop_at_clash: bool) -> Train:
        merged, clashes = [], []
        for part in parts:
            if part.sha in self._new:
                answer = git.merge(self._head, part.sha)
                if not answer.clean:
                    clashes.append(self._clash(git, part, answer.files))
                    if stop_at_clash:
                        break
                    continue
                self._take_in(part, answer.tree)
            merged.append(Merged(part.run_id, self._head))
        return Train(self._head, self._tree, tuple(merged), tuple(clashes))

    def _take_in(self, part: Part, tree: str) -> None:
        parents = (self._head, part.sha)
        self._head, self._tree = write_commit(self._objects, tree, parents, part.message, self._by), tree
        self._on_board.append(part)
        waiting = [part.sha]
        while waiting:
            waiting += self._new.pop(waiting.pop(), [])

    def _clash(self, git: MergeTree, part: Part, files: tuple[str, ...]) -> Clash:
        answers = [(one.run_id, git.merge(one.sha, part.sha)) for one in self._on_board]
        return Clash(part.run_id, files, tuple(run_id for run_id, answer in answers if not answer.clean))
