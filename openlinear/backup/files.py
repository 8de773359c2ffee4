"""The files of a backup, put into a new home: made beside their places, moved there at the very end."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from engine import backup as engine
from engine.backup import Repository
from engine.errors import RunError
from openlinear.backup.archive import Member, damaged, members
from openlinear.backup.manifest import Manifest
from openlinear.errors import StartError
from openlinear.settings import Settings

KEPT = "kept"
"""The folder of work that could not be pushed, in the home as in a backup."""
REFS_LIMIT = 256 << 20
Tell = Callable[[str], None]


class Files:
    """The repositories and kept work of a backup; what is left of a failed attempt goes at the end."""

    def __init__(self, settings: Settings, path: Path, manifest: Manifest, tell: Tell) -> None:
        """StartError when one of the places is taken."""
        self._settings = settings
        self._path = path
        self._tell = tell
        self._home = settings.openlinear_home
        self._folder = self._home / ".restore"
        self._repositories = _named(manifest)
        self._kept: list[str] = [name for name in manifest.entries if name.startswith(f"{KEPT}/")]
        self._placed: list[Path] = []
        taken = [repository.path(settings) for repository in self._repositories]
        taken += [self._home / KEPT] if self._kept else []
        for place in taken:
            if place.exists() and not (place.name == KEPT and not any(place.iterdir())):
                raise StartError(
                    f"{place} is there already. A backup is restored into an empty home: move it away, or "
                    "name an OPENLINEAR_HOME that does not exist yet."
                )

    def __enter__(self) -> Self:
        shutil.rmtree(self._folder, ignore_errors=True)  # of one that was killed
        self._folder.mkdir(mode=0o700, parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        for repository in self._repositories:
            engine.clear(self._settings, repository)
        for place in self._placed if error else ():
            shutil.rmtree(place, ignore_errors=True)

    async def make(self) -> None:
        """All of them, beside their places."""
        packs: dict[str, Path] = {}
        refs: dict[str, bytes] = {}
        for member in members(self._path):
            name, _, kind = member.name.rpartition(".")
            if member.name in self._kept:
                self._write(member, self._folder / member.name)
            elif kind == "pack":
                packs[name] = self._folder / member.name
                self._write(member, packs[name])
            elif kind == "refs":
                refs[name] = member.whole(REFS_LIMIT)
        for repository in self._repositories:
            self._tell(f"repository {repository.name}")
            try:
                await engine.unpack(
                    self._settings, repository, packs.get(repository.name), refs.get(repository.name, b"")
                )
            except RunError as error:
                raise damaged(error.reason) from error

    def settle(self) -> None:
        """Put them into their places, which they leave again when the block ends with an error."""
        for repository in self._repositories:
            engine.settle(self._settings, repository)
            self._placed.append(repository.path(self._settings))
        if self._kept:
            (self._folder / KEPT).rename(self._home / KEPT)
            self._placed.append(self._home / KEPT)

    def _write(self, member: Member, target: Path) -> None:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with target.open("xb") as file:
            target.chmod(0o600)
            for chunk in member.chunks():
                file.write(chunk)


def _named(manifest: Manifest) -> list[Repository]:
    """The repositories of a backup, a mirror before the store that borrows from it."""
    names = {name.removesuffix(".refs") for name in manifest.entries if name.endswith(".refs")}
    names = {name for name in names if name.partition("/")[0] in engine.KINDS}
    return [
        Repository.named(name)
        for name in sorted(names, key=lambda n: (engine.KINDS.index(n.partition("/")[0]), n))
    ]
