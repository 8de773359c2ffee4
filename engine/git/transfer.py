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
_REF = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64}) (refs/(?:openlinear|heads|remotes/origin)/[^\x00-\x20\x7f]+)")

_COMPLAINT = re.compile(r"^error: object \w+: (\w+):", re.MULTILINE)
_LENT = ({"gitattributesMissing"}, {"gitmodulesMissing"}, {"gitattributesMissing", "gitmodulesMissing"})


async def pack(path: Path, folder: Path) -> tuple[Path | None, bytes]:
    """Write the repository's own objects into `folder`: the pack, if there are any, and its refs as
    `sha name` lines. Runs of the project wait meanwhile."""
    async with locked(path.with_suffix(".lock")) as held:
        refs = (await git("for-each-ref", "--format=%(objectname) %(refname)", git_dir=path)).stdout
        borrows = await asyncio.to_thread((path / "objects" / "info" / "alternates").exists)
        made = await git(
            *("pack-objects", "--non-empty", "--quiet", "--delta-base-offset"),
            *([] if borrows else ["--all"]),
            str(folder / path.stem),
            git_dir=path,
            stdin=await _own_objects(path) if borrows else b"",
            descriptors=[held],
            timeout=SECONDS,
        )
    return (folder / f"{path.stem}-{made.line}.pack" if made.line else None), refs


async def _own_objects(path: Path) -> bytes:
    """Names of all that lies in the repository itself. What a run made is there for good, though the
    remote, and so the mirror, has it by now: `--local` would leave that out."""
    names = set(await asyncio.to_thread(_loose, path / "objects"))
    for index in sorted((path / "objects" / "pack").glob("*.idx")):
        with index.open("rb") as content:
            listing = await git("show-index", git_dir=path, stdin=content)
        if listing.cut:
            raise RunError(f"{path} holds too many objects to be listed.", "limit")
        names.update(line.split(" ")[1] for line in listing.stdout.decode().splitlines())
    return "".join(f"{name}\n" for name in sorted(names)).encode()


def _loose(objects: Path) -> list[str]:
    return [f"{file.parent.name}{file.name}" for file in objects.glob("[0-9a-f][0-9a-f]/[0-9a-f]*")]


async def unpack(path: Path, content: Path | None, refs: bytes, *, borrow: Path | None, fsck: bool) -> None:
    """Make the repository at `path`; one there is replaced. RunError when the pack is damaged.

    Names of what only the repository that it borrows from holds are left out: that is not there yet.
    """
    await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)
    await asyncio.to_thread(path.parent.mkdir, 0o700, parents=True, exist_ok=True)
    await create_bare(path, borrow=borrow)
    try:
        if content is not None:
            await _index(path, content, fsck=fsck)
        await _name(path, refs)
    except GitError as error:
        raise RunError(f"a repository in it is broken: {plain(error.stderr)}", "remote") from error


async def _index(path: Path, content: Path, *, fsck: bool) -> None:
    """Take the pack in, its objects checked where `fsck` says so."""
    index = ("-c", "pack.writeReverseIndex=false", "index-pack", "--stdin")
    checks = ["--fsck-objects"] if fsck else []
    try:
        with content.open("rb") as stream:
            await git(*index, *checks, git_dir=path, stdin=stream, timeout=SECONDS)
    except GitError as error:
        # Every object was found sound by then: a tree names a file that only the mirror has.
        if set(_COMPLAINT.findall(error.stderr)) not in _LENT:
            raise
        await _index(path, content, fsck=False)


async def _name(path: Path, refs: bytes) -> None:
    lines = refs.decode(errors="surrogateescape").split("\n")[:-1]
    named = [match for line in lines if (match := _REF.fullmatch(line))]
    if len(named) < len(lines):
        raise RunError("a repository in it has a name that is none of ours", "remote")
    asked = "".join(f"{match[1]}\n" for match in named).encode()
    listing = await git("cat-file", "--batch-check=%(objecttype)", git_dir=path, stdin=asked)
    there = [not line.endswith(b" missing") for line in listing.stdout.splitlines()]
    wanted = [match for match, is_there in zip(named, there, strict=True) if is_there]
    updates = "".join(f"update {match[2]} {match[1]}\n" for match in wanted)
    await git("update-ref", "--stdin", git_dir=path, stdin=updates.encode(errors="surrogateescape"))
    heads = [match[2] for match in wanted if match[2].startswith("refs/heads/")]
    if heads:
        head = "refs/heads/main" if "refs/heads/main" in heads else heads[0]
        await git("symbolic-ref", "HEAD", head, git_dir=path)
