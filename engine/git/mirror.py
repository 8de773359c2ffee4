"""The bare mirror of a project: what its remote has, and nothing else.

What runs make lives in a store beside it (`engine.git.store`), so that the packs lent to a user's
sandbox never hold work that the remote has not shown to its readers.
"""

import asyncio
import errno
import os
import shutil
import tempfile
from pathlib import Path
from uuid import UUID

from engine.errors import RunError
from engine.git.command import GitError, disk_full, git
from engine.git.failures import empty
from engine.git.lock import locked
from engine.git.remote import Remote, check_branch
from engine.git.transport import talk
from engine.ports import Credential

FETCH_SECONDS = 1800.0
PACKS = 40
_PREFIX = "refs/remotes/origin/"


class Mirror:
    """One project's mirror, at `{repos}/mirrors/{project_id}.git`. Only the engine reads it."""

    def __init__(self, repos: Path, project_id: UUID) -> None:
        self.path = repos / "mirrors" / f"{project_id}.git"
        self._lock = self.path.with_suffix(".lock")

    async def refresh(self, remote: Remote, credential: Credential | None, branch: str) -> str:
        """Fetch what is new, and return the commit that `branch` of the remote is at.

        It always speaks to the remote, so it proves that this credential may read it. RunError when
        it may not, or when there is no such branch.
        """
        check_branch(branch)
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        async with locked(self._lock) as held:
            await create_bare(self.path)
            await asyncio.to_thread(clear_stale, self.path)
            try:
                await self._fetch(remote, credential, held)
                await consolidate(self.path, held)
            finally:  # a fetch that broke off leaves its half of a pack, which may be what fills the disk
                await asyncio.to_thread(clear_stale, self.path)
            return await self._tip(branch)

    async def _fetch(self, remote: Remote, credential: Credential | None, held: int) -> None:
        # Packs stay packs, so that they can be lent. --prune takes away names alone, never objects,
        # and without it a branch that is gone would still be found.
        await talk(
            remote,
            credential,
            *("-c", "fetch.unpackLimit=1", "-c", "pack.writeReverseIndex=false"),
            *("fetch", "--quiet", "--force", "--prune", "--no-tags", "--no-write-fetch-head"),
            *("--no-auto-maintenance", "--no-recurse-submodules", "--no-show-forced-updates"),
            *(remote.url, f"+refs/heads/*:{_PREFIX}*"),
            git_dir=self.path,
            held=[held],
            timeout=FETCH_SECONDS,
        )

    async def _tip(self, branch: str) -> str:
        try:
            name = f"{_PREFIX}{branch}^{{commit}}"
            return (await git("rev-parse", "--verify", "--quiet", name, git_dir=self.path)).line
        except GitError as error:
            listing = await git(
                "for-each-ref", "--count=8", "--format=%(refname:lstrip=3)", _PREFIX, git_dir=self.path
            )
            if not listing.line:
                raise empty() from error
            some = ", ".join(listing.line.splitlines())
            raise RunError(
                f"The repository has no branch named {branch}. It has {some}: choose one in the project.",
                "remote",
            ) from error

    async def holds(self, sha: str) -> bool:
        """Whether this commit is in the mirror."""
        found = await git("cat-file", "-e", f"{sha}^{{commit}}", git_dir=self.path, accept=(0, 1, 128))
        return found.code == 0

    async def share(self, target: Path) -> None:
        """Lend the mirror's objects: hard links of its packs in `target`, which a sandbox sees read-only."""
        try:
            await asyncio.to_thread(_link_packs, self.path / "objects" / "pack", target)
        except OSError as error:
            raise (disk_full() if error.errno == errno.ENOSPC else error) from error


async def create_bare(path: Path, borrow: Path | None = None) -> None:
    """A bare repository without hooks, there whole or not at all. The caller holds its lock.

    `borrow` is an objects folder that it looks into for what it does not hold.
    """
    if await asyncio.to_thread(path.exists):
        return
    fresh = path.with_name(path.name + ".new")
    await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)
    await git("init", "--quiet", "--bare", "--template=", str(fresh))
    if borrow is not None:
        lend_objects(fresh / "objects", borrow)
    fresh.chmod(0o700)
    fresh.rename(path)


async def consolidate(path: Path, held: int) -> None:
    """Join small packs once there are many, since git looks through each. No object is ever dropped.

    Borrowers keep what they read: their links hold the old packs until `share` replaces them.
    """
    if await asyncio.to_thread(lambda: len(list((path / "objects" / "pack").glob("*.pack")))) > PACKS:
        repack = ("repack", "--quiet", "--geometric=2", "-d", "--no-write-bitmap-index")
        await git(*repack, git_dir=path, descriptors=[held], timeout=FETCH_SECONDS)


def lend_objects(objects: Path, borrow: Path) -> None:
    """Let a repository's objects folder borrow another's. The way is relative, so both may move together."""
    (objects / "info").mkdir(parents=True, exist_ok=True)
    (objects / "info" / "alternates").write_text(os.path.relpath(borrow, objects) + "\n")


def clear_stale(path: Path) -> int:
    """Remove what a killed git left: how many files. Whoever holds the lock knows that no git is at work."""
    stale = [
        *path.glob("*.lock"),
        *(path / "refs").rglob("*.lock"),
        *(path / "objects" / "pack").glob("tmp_*"),
    ]
    for file in stale:
        file.unlink(missing_ok=True)
    return len(stale)


def _link_packs(source: Path, target: Path) -> None:
    packs = target / "pack"
    packs.mkdir(parents=True, exist_ok=True)
    for folder in (target.parent, target, packs):  # whatever the umask: another user reads them
        folder.chmod(0o755)
    for index in source.glob("*.idx"):
        # Git looks for indexes: linked last, a pack is never seen half there.
        for file in (index.with_suffix(".pack"), index):
            if not (packs / file.name).exists():
                file.chmod(0o444)
                _link(file, packs / file.name)
    # Packs that were joined: what they held is in the new ones, which git finds when it looks again.
    for index in packs.glob("*.idx"):
        if not (source / index.name).exists():
            index.unlink(missing_ok=True)
            index.with_suffix(".pack").unlink(missing_ok=True)


def _link(file: Path, target: Path) -> None:
    try:
        target.hardlink_to(file)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP):
            raise
        with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as copy, file.open("rb") as content:
            shutil.copyfileobj(content, copy)
        os.chmod(copy.name, 0o444)  # noqa: PTH101
        Path(copy.name).replace(target)
