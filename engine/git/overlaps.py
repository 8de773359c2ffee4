"""Runs inside a sandbox: which of a user's workspaces would clash, were they merged as they are now.

`python3 -I -c CODE < QUESTION`. The question is JSON: {"repos": folder of the workspaces, "objects": what
the project lends, "seconds": to take at most, "workspaces": [[run, base], ...]}. The answer on stdout is
a JSON list of [index, index, [path, ...]]. A workspace that cannot be read clashes with nobody.

The agents are at work meanwhile: nothing in a workspace is written, not even an index. Trees are made by
an index and a repository of our own, whose folder is removed at the end.
"""

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, cast

PATHS = 20_000
PRINTED = 16 << 20
NESTED = 10
NAMED = 50
LARGE = 16 << 20
"""Bytes of a file that is still read, and ..."""
ALL = 128 << 20
"""... of all that is read of one workspace. What is over stays as it was at the start."""
STALE = 3600
OPTIONS = (
    *("core.fsmonitor=false", "core.hooksPath=/dev/null", "core.untrackedCache=false", "gc.auto=0"),
    *("core.excludesFile=/dev/null", "core.attributesFile=/dev/null", "core.looseCompression=0"),
    *("submodule.recurse=false", "safe.directory=*", "merge.renames=true", "merge.renameLimit=1000"),
    *("index.threads=2", "core.safecrlf=false"),
)
WHO = {f"GIT_{role}_{key}": "radar" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}


class Git:
    """A repository of our own for the time of this, that borrows what the project lends."""

    def __init__(self, scratch: Path, objects: str) -> None:
        self.scratch = scratch
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(scratch),
            "LC_ALL": "C",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            **WHO,
        }
        self("init", "--quiet", "--template=", str(scratch))
        (scratch / ".git" / "objects" / "info" / "alternates").write_text(objects + "\n")
        self.environment["GIT_DIR"] = str(scratch / ".git")

    def __call__(
        self, *args: str, tree: Path | None = None, index: Path | None = None, stdin: bytes = b""
    ) -> bytes:
        """What it printed. CalledProcessError when it failed, OSError when it printed too much."""
        places = {"GIT_WORK_TREE": tree, "GIT_INDEX_FILE": index}
        with tempfile.TemporaryFile(dir=self.scratch) as given:
            given.write(stdin)
            given.seek(0)
            process = subprocess.Popen(
                ["git", *(part for option in OPTIONS for part in ("-c", option)), *args],
                env=self.environment | {name: str(path) for name, path in places.items() if path},
                cwd=self.scratch,
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        try:
            output = cast(BinaryIO, process.stdout).read(PRINTED + 1)
            if len(output) > PRINTED:
                raise OSError("it printed too much")
            if code := process.wait():
                raise subprocess.CalledProcessError(code, args, output)
            return output
        finally:
            process.kill()
            process.wait()
            cast(BinaryIO, process.stdout).close()


class Workspace:
    """One that lies there whole. `paths` may differ from the base: no other does."""

    def __init__(self, git: Git, repos: Path, run: str, base: str) -> None:
        self.git = git
        self.base = base
        self.path = repos / run
        self.state = repos / f".{run}"
        self.index = git.scratch / f"index.{run}"
        self._commit = ""
        self._left = ALL
        if self.path.is_symlink() or (self.state / "base").read_text().strip() != base:
            raise OSError("it is not laid out")
        self._read_base()
        self.paths = set(self._changed())
        if len(self.paths) > PATHS:
            raise OSError("more than can be compared differs from the base")
        self.reach = self.paths.union(*map(above, self.paths))

    def _read_base(self) -> None:
        """The base as an index that knows what was checked out, so that few files need to be read."""
        try:
            shutil.copyfile(self.state / "index", self.index)
            self.git("read-tree", "-m", self.base, index=self.index)
        except (OSError, subprocess.CalledProcessError):
            self.index.unlink(missing_ok=True)
            self.git("read-tree", self.base, index=self.index)

    def _changed(self) -> Iterator[bytes]:
        """What differs in the files, is new and not ignored, or was added by force or committed."""
        git = partial(self.git, tree=self.path, index=self.index)
        yield from words(git("diff-files", "--name-only", "-z", "--ignore-submodules=dirty"))
        own = self.path / ".git" / "index"
        if own.is_file() and not own.is_symlink() and not own.parent.is_symlink():
            with suppress(subprocess.CalledProcessError):  # an index that git cannot read adds nothing
                yield from words(
                    self.git("diff-index", "--cached", "--name-only", "-z", self.base, index=own)
                )
        nested = []
        for path in words(git("ls-files", "--others", "--exclude-standard", "-z")):
            if path.endswith(b"/"):
                nested.append(path)
            else:
                yield path
        for folder in nested[:NESTED]:
            yield from self._inside(folder)

    def _inside(self, folder: bytes) -> set[bytes]:
        """Files of a repository inside the workspace: they will be carried as plain ones."""
        listed = self.git(
            *("ls-files", "--others", "--exclude-standard", "-z"),
            tree=self.path / os.fsdecode(folder),
            index=self.git.scratch / "none",
        )
        paths = {folder + path for path in words(listed) if not path.endswith(b"/")}
        try:
            named = b"\0".join(paths)
            return paths - set(words(self.git("check-ignore", "-z", "--stdin", tree=self.path, stdin=named)))
        except subprocess.CalledProcessError:  # none of them is
            return paths

    def commit(self) -> str:
        """A commit on the base with the files as they are now. One that fails is not tried again."""
        if not self._commit:
            paths = b"".join(path + b"\0" for path in sorted(self.paths) if self._fit(path))
            given = ("update-index", "-z", "--add", "--remove", "--replace", "--stdin")
            try:
                self.git(*given, tree=self.path, index=self.index, stdin=paths)
            except subprocess.CalledProcessError:
                self.paths, self.reach = set(), set()
                raise
            tree = self.git("write-tree", index=self.index).decode().strip()
            self._commit = self.git("commit-tree", "-p", self.base, tree).decode().strip()
        return self._commit

    def _fit(self, path: bytes) -> bool:
        """Whether git can take it in; what is gone is taken in as that."""
        place = self.path / os.fsdecode(path)
        try:
            found = place.lstat()
        except OSError:
            return True
        if not stat.S_ISREG(found.st_mode):
            return stat.S_ISLNK(found.st_mode) or stat.S_ISDIR(found.st_mode)
        self._left -= found.st_size
        return found.st_size <= LARGE and self._left >= 0 and os.access(place, os.R_OK)


def words(output: bytes) -> list[bytes]:
    return output.split(b"\0")[:-1]


def above(path: bytes) -> Iterator[bytes]:
    """The folders that a path lies in."""
    while path := path.rpartition(b"/")[0]:
        yield path


def laid_out(git: Git, repos: Path, asked: Iterable[tuple[str, str]]) -> Iterator[tuple[int, Workspace]]:
    for number, (run, base) in enumerate(asked):
        try:
            yield number, Workspace(git, repos, run, base)
        except (OSError, ValueError, subprocess.CalledProcessError):
            continue


def clash(git: Git, one: Workspace, other: Workspace) -> list[str]:
    """The paths in conflict. Nothing is written where no changed paths meet."""
    met = one.paths & other.reach | one.reach & other.paths
    if not met:
        return []
    try:
        ours, theirs = one.commit(), other.commit()
    except (OSError, subprocess.CalledProcessError):
        return []
    try:
        git("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", ours, theirs)
    except subprocess.CalledProcessError as error:
        # Where both cannot have one name, git puts a file aside as `name~commit`.
        aside = re.compile(f"~(?:{ours}|{theirs})(?:_[0-9]+)?$")
        files = dict.fromkeys(aside.sub("", text(path)) for path in words(error.output)[1:])
        names = list(files) or sorted(map(text, met))  # a folder that was renamed two ways names no path
        return names[:NAMED] if error.returncode == 1 else []
    return []


def text(path: bytes) -> str:
    return path.decode(errors="replace")


class Late(Exception):
    """No OSError, so that nothing takes it for a workspace that cannot be read."""


def late(*_: object) -> NoReturn:
    raise Late("the comparison took too long and was ended")


def compare(asked: dict[str, Any]) -> list[tuple[int, int, list[str]]]:
    repos = Path(asked["repos"])
    for left in repos.glob(".radar.*"):  # by one that was killed
        if left.lstat().st_mtime < time.time() - STALE:
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=repos, prefix=".radar.", ignore_cleanup_errors=True) as scratch:
        git = Git(Path(scratch), asked["objects"])
        there = list(laid_out(git, repos, asked["workspaces"]))
        pairs = [(a, b, clash(git, one, other)) for (a, one), (b, other) in combinations(there, 2)]
    return [pair for pair in pairs if pair[2]]


def main() -> None:
    asked = json.load(sys.stdin)
    signal.signal(signal.SIGALRM, late)
    signal.alarm(asked["seconds"])
    try:
        answer = compare(asked)
    except Late as error:
        sys.exit(str(error))
    json.dump(answer, sys.stdout)


main()
