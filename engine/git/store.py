"""What runs made: packs taken over from sandboxes, and the commits that are pushed.

A bare repository beside the mirror, whose objects it borrows. Nobody but the engine reads it.
"""

import asyncio
import errno
import shutil
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from engine.errors import RunError
from engine.git.command import MEBIBYTE, GitError, disk_full, git, plain
from engine.git.commits import OBJECT, identity, message_bytes
from engine.git.lock import locked
from engine.git.mirror import Mirror, consolidate, create_bare, lend_objects

_IMPORTS = "refs/openlinear/imports/"
_RUNS = "refs/openlinear/runs/"
_BATCHES = "refs/openlinear/batches/"


class Store:
    """The store of one project, at `{repos}/mirrors/{project_id}.runs.git`."""

    def __init__(self, mirror: Mirror) -> None:
        self.path = mirror.path.with_suffix(".runs.git")
        self._mirror = mirror
        self._lock = self.path.with_suffix(".lock")

    async def create(self) -> None:
        """Have the repository there; what is there stays."""
        if not self.path.exists():
            async with locked(self._lock):
                await create_bare(self.path, borrow=self._mirror.path / "objects")

    async def import_pack(
        self, run_id: UUID, *, base: str, head: str, tree: str, pack: Path, limit_mb: int
    ) -> None:
        """Take over a pack that a sandbox made, if it is sound and holds all that `head` and `tree` add.

        It is judged in quarantine, where it sees the mirror alone: so it can name nothing of other
        runs. RunError when it is damaged, too large, or reaches beyond `base` and itself.
        """
        _check_names(base, head, tree)
        await self.create()
        quarantine = self.path / "quarantine" / str(run_id)
        await asyncio.to_thread(_make_quarantine, quarantine, self._mirror.path)
        try:
            await self._index(quarantine, pack, limit_mb)
            await self._check_reach(quarantine, base, head, tree)
            await asyncio.to_thread(_move_packs, quarantine / "pack", self.path / "objects" / "pack")
        except GitError as error:
            raise _damaged(error) from error
        except OSError as error:
            raise (disk_full() if error.errno == errno.ENOSPC else error) from error
        finally:
            await asyncio.to_thread(shutil.rmtree, quarantine, ignore_errors=True)
        await self._keep(f"{_IMPORTS}{run_id}", tree)

    async def _index(self, quarantine: Path, pack: Path, limit_mb: int) -> None:
        with pack.open("rb") as content:
            try:
                await git(
                    *("index-pack", "--stdin", "--strict", f"--max-input-size={limit_mb * MEBIBYTE}"),
                    git_dir=self.path,
                    environment={"GIT_OBJECT_DIRECTORY": str(quarantine)},
                    stdin=content,
                    timeout=600,
                )
            except GitError as error:
                if "maximum allowed size" not in error.stderr:
                    raise
                raise RunError(
                    f"The change is larger than {limit_mb} MB. Have the agent leave out generated and large "
                    "files, or raise PACK_LIMIT_MB.",
                    "limit",
                ) from error

    async def _check_reach(self, quarantine: Path, base: str, head: str, tree: str) -> None:
        """All that `head` and `tree` add to `base` must lie in the pack itself."""

        async def ask(*args: str, stdin: bytes | BinaryIO = b"") -> set[str]:
            output = await git(
                *args, git_dir=self.path, environment={"GIT_OBJECT_DIRECTORY": str(quarantine)}, stdin=stdin
            )
            return set(output.stdout.decode().split("\n")) - {""}

        await ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{tree}^{{tree}}")
        await ask("merge-base", "--is-ancestor", base, head)
        listing = ("rev-list", "--objects", "--no-object-names", "--end-of-options")
        new = await ask(*listing, head, tree, f"^{base}", f"^{base}^{{tree}}")
        for index in (quarantine / "pack").glob("*.idx"):
            with index.open("rb") as content:
                new -= {line.split(" ")[1] for line in await ask("show-index", stdin=content)}
        if new and new - await ask(*listing, base):  # an old file put back is no theft
            raise GitError(1, "it refers to objects that are neither in it nor in the run's base")

    async def commit(
        self,
        run_id: UUID,
        *,
        base: str,
        head: str,
        tree: str,
        message: str,
        author: tuple[str, str],
        when: datetime,
        parents: tuple[str, ...] | None = None,
    ) -> str:
        """The commit to push for a run's work: `base` itself when nothing changed.

        An agent's own commits stay; what it left uncommitted goes on top, or on top of `parents` where the
        tree is a merge of those. `author` is (name, email); the same arguments always give the same commit.
        """
        _check_names(base, head, tree)
        await self.create()
        head_tree = (await git("rev-parse", "--verify", f"{head}^{{tree}}", git_dir=self.path)).line
        base_tree = (await git("rev-parse", "--verify", f"{base}^{{tree}}", git_dir=self.path)).line
        if tree == base_tree:
            return base
        if parents is None and tree == head_tree:
            sha = head
        else:
            sha = await self._commit_tree(tree, parents or (head,), message, author, when)
        await self._keep(f"{_RUNS}{run_id}", sha)
        return sha

    async def _commit_tree(
        self, tree: str, parents: Sequence[str], message: str, author: tuple[str, str], when: datetime
    ) -> str:
        output = await git(
            *("commit-tree", tree, "-F", "-"),
            *(argument for parent in parents for argument in ("-p", parent)),
            git_dir=self.path,
            environment=identity(author, when).environment,
            stdin=message_bytes(message),
        )
        return output.line

    async def is_ours(self, sha: str) -> bool:
        """Whether this commit is the end of one of our runs or batches: then nobody built on it."""
        if not self.path.exists():
            return False
        ask = ("for-each-ref", f"--points-at={sha}", _RUNS, _BATCHES)
        found = await git(*ask, git_dir=self.path, accept=(0, 128, 129))
        return found.code == 0 and bool(found.line)

    async def contains(self, sha: str, ancestor: str) -> bool:
        """Whether a commit's history holds another."""
        _check_names(sha, ancestor)
        found = await git("merge-base", "--is-ancestor", ancestor, sha, git_dir=self.path, accept=(0, 1))
        return found.code == 0

    async def marked(self, tree: str, files: Sequence[str]) -> tuple[str, ...]:
        """Those of these files of a tree in which a conflict is still marked."""
        _check_names(tree)
        paths = [f":(literal){name}" for name in files]
        found = await git(
            *("grep", "-z", "--name-only", "-I", "-e", "^<<<<<<< ", "-e", "^>>>>>>> ", tree, "--", *paths),
            git_dir=self.path,
            accept=(0, 1),
        )
        names = found.stdout.decode(errors="replace").split("\0")
        return tuple(name.partition(":")[2] for name in names if name)

    async def head_of(self, run_id: UUID) -> str | None:
        """The commit that holds this run's work; None where it made none."""
        if not await asyncio.to_thread(self.path.exists):
            return None
        found = await git(
            "rev-parse",
            "--verify",
            "--quiet",
            f"{_RUNS}{run_id}^{{commit}}",
            git_dir=self.path,
            accept=(0, 1),
        )
        return found.line or None

    async def bundle(self, run_id: UUID, base: str, target: Path) -> None:
        """Write the run's commits beyond `base` to `target`, as a bundle that any clone can fetch from."""
        _check_names(base)
        await git(
            *("bundle", "create", "--quiet", "--version=2", str(target), f"{_RUNS}{run_id}", f"^{base}"),
            git_dir=self.path,
            timeout=600,
        )

    async def bundle_commit(self, sha: str, base: str, target: Path) -> None:
        """Write all that `sha` adds to `base` to `target`, as a bundle whose HEAD is that commit.

        The commit needs no name here. GitError when it adds nothing, or either is not there.
        """
        _check_names(sha, base)
        await self.create()
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".bundle.") as scratch:
            # A bundle holds what has a name: in a repository of its own, that is HEAD.
            await asyncio.to_thread(_name_head, Path(scratch), self.path, sha)
            await git(
                *("bundle", "create", "--quiet", str(target), "HEAD", f"^{base}"),
                git_dir=Path(scratch),
                environment={"GIT_OBJECT_DIRECTORY": str(self.path / "objects")},
                timeout=600,
            )

    async def keep_batch(self, batch_id: UUID, sha: str) -> None:
        """Have the commit that a batch ends in for good; it is ours from now on."""
        _check_names(sha)
        await self._keep(f"{_BATCHES}{batch_id}", sha)

    async def _keep(self, name: str, sha: str) -> None:
        async with locked(self._lock) as held:
            (self.path / f"{name}.lock").unlink(missing_ok=True)  # left by a killed git: the lock is ours
            await git("update-ref", name, sha, git_dir=self.path, descriptors=[held])
            await consolidate(self.path, held)


def _check_names(*names: str) -> None:
    """Names come out of a sandbox: anything but an object's own could be an option or somebody's ref."""
    for name in names:
        if not OBJECT.fullmatch(name):
            raise _damaged(GitError(1, "it names an object by something else than its hash"))


def _name_head(scratch: Path, repository: Path, sha: str) -> None:
    (scratch / "refs").mkdir()
    (scratch / "HEAD").write_text(f"{sha}\n")
    shutil.copy(repository / "config", scratch / "config")


def _make_quarantine(quarantine: Path, mirror: Path) -> None:
    shutil.rmtree(quarantine, ignore_errors=True)
    (quarantine / "pack").mkdir(parents=True)
    lend_objects(quarantine, mirror / "objects")


def _move_packs(source: Path, target: Path) -> None:
    # Git looks for indexes: moved last, a pack is never seen half there.
    for file in sorted(source.iterdir(), key=lambda file: (file.suffix == ".idx", file.name)):
        file.replace(target / file.name)


def _damaged(error: GitError) -> RunError:
    return RunError(
        f"The agent's work could not be taken over, since its repository is damaged: {plain(error.stderr)} "
        "Run the task again.",
        "sandbox",
    )
