"""A project's store with commits to merge, made from descriptions of their changes."""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid5

import pytest

from engine.git.merge import Part, Train, merge
from tests.support.gitline import CREDENTIAL, WHEN, Line, MakeLine
from tests.support.gitserver import Content, run_git

Files = Mapping[str, Content | None]
AUTHOR = ("Ada Lovelace", "ada@example.com")
_RUNS = UUID("5a0f8c1e-0000-4000-8000-000000000000")


def run_of(name: str) -> UUID:
    """The run that a test calls by this name."""
    return uuid5(_RUNS, name)


@dataclass
class Branches:
    """Branches of the remote stand for runs: the store reaches them through the mirror."""

    line: Line
    base: str

    def add(self, name: str, files: Files, *, start: str | None = None) -> str:
        run_git("branch", name, start or self.base, cwd=self.line.repo.path)
        return self.line.repo.commit(files, branch=name)

    async def fetch(self) -> None:
        await self.line.mirror.refresh(self.line.remote, CREDENTIAL, "main")

    def part(self, name: str, sha: str | None = None) -> Part:
        at = self.line.repo.branches()[name] if sha is None else sha
        return Part(run_of(name), at, f"Merge {name}\n\nAs asked.\n")

    async def merge(self, *names: str, onto: str | None = None, stop_at_clash: bool = False) -> Train:
        await self.fetch()
        return await self.merge_parts([self.part(name) for name in names], onto=onto, stop=stop_at_clash)

    async def merge_parts(
        self, parts: Sequence[Part], *, onto: str | None = None, stop: bool = False
    ) -> Train:
        return await merge(
            self.line.store,
            onto=onto or self.base,
            parts=parts,
            author=AUTHOR,
            when=WHEN,
            stop_at_clash=stop,
        )

    def parents(self, sha: str) -> list[str]:
        found = run_git("rev-list", "--parents", "-n1", sha, cwd=self.line.store.path)
        return found.decode().split()[1:]

    def plain_merge(self, folder: Path, *names: str) -> str | None:
        """The tree that `git merge --no-ff` makes of it in a work tree; None when it finds a conflict."""
        run_git("clone", "--quiet", "--no-checkout", str(self.line.repo.path), str(folder))
        run_git("checkout", "--quiet", "--detach", self.base, cwd=folder)
        who = {"GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "a@b.c", "GIT_AUTHOR_NAME": "Ada"}
        for name in names:
            try:
                run_git(
                    *("merge", "--quiet", "--no-ff", "-m", name, f"origin/{name}"),
                    cwd=folder,
                    GIT_AUTHOR_EMAIL="a@b.c",
                    **who,
                )
            except subprocess.CalledProcessError as error:
                assert b"CONFLICT" in error.stdout, error.stderr
                return None
        return run_git("rev-parse", "HEAD^{tree}", cwd=folder).decode().strip()


MakeBranches = Callable[[Mapping[str, Content]], Branches]


@pytest.fixture
def make_branches(make_line: MakeLine) -> MakeBranches:
    """Makes a remote with these files, and branches of it."""

    def make(files: Mapping[str, Content]) -> Branches:
        line = make_line(files)
        return Branches(line, line.repo.branches()["main"])

    return make
