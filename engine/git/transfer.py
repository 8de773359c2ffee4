"""A bare repository as one pack and a list of names, and a repository made from them.

No file of the repository itself travels: its configuration and hooks would be code of whoever made the
copy. What another repository lends it is left out, and lent again.
"""

import asyncio
import re
import shutil
from pathlib import Path

from engine.errors import RunError
from engine.git.command import GitError, git, plain
from engine.git.lock import locked
from engine.git.mirror import create_bare

SECONDS = 3600.0
_REF = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64}) (refs/(?:openlinear|heads|remotes/origin)/[!-~]+)")


async def pack(path: Path, folder: Path) -> tuple[Path | None, bytes]:
    """Write the repository's own objects into `folder`: the pack, if there are any, and its refs as
    `sha name` lines. Runs of the project wait meanwhile."""
    async with locked(path.with_suffix(".lock")) as held:
        refs = (await git("for-each-ref", "--format=%(objectname) %(refname)", git_dir=path)).stdout
        packing = ("pack-objects", "--all", "--local", "--non-empty", "--quiet", "--delta-base-offset")
        target = str(folder / path.stem)
        made = await git(*packing, target, git_dir=path, descriptors=[held], timeout=SECONDS)
    return (folder / f"{path.stem}-{made.line}.pack" if made.line else None), refs


async def unpack(path: Path, content: Path | None, refs: bytes, *, borrow: Path | None, fsck: bool) -> int:
    """Make the repository at `path`, where none is. How many names were left out, since what they name
    is in the repository it borrows from, which is not there yet. RunError when the pack is damaged."""
    await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)
    await asyncio.to_thread(path.parent.mkdir, 0o700, parents=True, exist_ok=True)
    await create_bare(path, borrow=borrow)
    try:
        if content is not None:
            with content.open("rb") as stream:
                index = ("-c", "pack.writeReverseIndex=false", "index-pack", "--stdin")
                await git(
                    *index, *(["--fsck-objects"] if fsck else []), git_dir=path, stdin=stream, timeout=SECONDS
                )
        return await _name(path, refs)
    except GitError as error:
        raise RunError(f"A repository of the backup is damaged: {plain(error.stderr)}", "remote") from error


async def _name(path: Path, refs: bytes) -> int:
    named = [_REF.fullmatch(line) for line in refs.decode("ascii", "replace").splitlines()]
    wanted = [(match[1], match[2]) for match in named if match]
    if len(wanted) < len(named):
        raise RunError("A repository of the backup is damaged: a name in it is none of ours.", "remote")
    asked = "".join(f"{sha}\n" for sha, _ in wanted).encode()
    listing = await git("cat-file", "--batch-check=%(objecttype)", git_dir=path, stdin=asked)
    there = [not line.endswith(b" missing") for line in listing.stdout.splitlines()]
    updates = "".join(
        f"update {ref} {sha}\n" for (sha, ref), is_there in zip(wanted, there, strict=True) if is_there
    )
    await git("update-ref", "--stdin", git_dir=path, stdin=updates.encode())
    heads = [ref for _, ref in wanted if ref.startswith("refs/heads/")]
    if heads:
        head = "refs/heads/main" if "refs/heads/main" in heads else heads[0]
        await git("symbolic-ref", "HEAD", head, git_dir=path)
    return there.count(False)
