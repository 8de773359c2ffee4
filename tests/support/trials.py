"""Commits of a demo project, and their checks in a real sandbox."""

import asyncio
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID, uuid4

from engine.checks import Tried, try_commit
from engine.containers import Containers
from engine.git.command import git
from engine.git.demo import BRANCH, demo_home, ensure_demo_repo
from engine.git.mirror import Mirror, create_bare
from engine.git.remote import parse
from engine.git.store import Store
from engine.ports import Egress, Sandbox
from engine.settings import EngineSettings
from engine.world import World

_WHO = {
    f"GIT_{role}_{key}": value
    for role in ("AUTHOR", "COMMITTER")
    for key, value in {"NAME": "Ada", "EMAIL": "ada@example.org", "DATE": "@1735689600 +0000"}.items()
}


class Anywhere:
    """A fake at the Product port, for what checks ask of it."""

    async def egress(self, user_id: UUID) -> Egress:
        return Egress("listed")


@dataclass
class Bench:
    """One user's project, whose mirror and store are real; `said` is what was reported."""

    settings: EngineSettings
    sandbox: Sandbox
    user_id: UUID = field(default_factory=uuid4)
    project_id: UUID = field(default_factory=uuid4)
    base: str = ""
    said: list[str] = field(default_factory=list)

    @property
    def mirror(self) -> Mirror:
        return Mirror(self.settings.repos, self.project_id)

    async def refresh(self) -> str:
        """The mirror, made; the base is the tip of its default branch."""
        await ensure_demo_repo(self.settings, self.project_id)
        url = f"demo:{self.project_id}"
        remote = parse(url, allow_local=False, demo_home=demo_home(self.settings))
        self.base = await self.mirror.refresh(remote, None, BRANCH)
        return self.base

    async def commit(self, files: Mapping[str, str]) -> str:
        """A commit in the store that adds these files to the base."""
        store = Store(self.mirror)
        await create_bare(store.path, borrow=self.mirror.path / "objects")
        with tempfile.TemporaryDirectory() as scratch:
            index = {"GIT_INDEX_FILE": f"{scratch}/index"}
            await git("read-tree", self.base, git_dir=store.path, environment=index)
            for name, content in files.items():
                blob = await git("hash-object", "-w", "--stdin", git_dir=store.path, stdin=content.encode())
                entry = ("--add", "--cacheinfo", f"100644,{blob.line},{name}")
                await git("update-index", *entry, git_dir=store.path, environment=index)
            tree = (await git("write-tree", git_dir=store.path, environment=index)).line
        commit = ("commit-tree", tree, "-p", self.base, "-m", "Work")
        return (await git(*commit, git_dir=store.path, environment=_WHO)).line

    def here(self, **settings: Any) -> World:
        configured = self.settings.model_copy(update=settings)
        nothing = cast(Any, None)
        containers = Containers(nothing, self.sandbox, configured)
        return World(
            settings=configured,
            database=nothing,
            signals=nothing,
            sandbox=self.sandbox,
            containers=containers,
            agents={},
            forge=nothing,
            product=cast(Any, Anywhere()),
            enqueuer=nothing,
            worker="tests",
        )

    async def tried(
        self, sha: str, *commands: str, trial_id: UUID | None = None, here: World | None = None
    ) -> Tried:
        async def report(line: str) -> None:
            self.said.append(line)

        return await try_commit(
            here or self.here(),
            user_id=self.user_id,
            project_id=self.project_id,
            trial_id=trial_id or uuid4(),
            base=self.base,
            sha=sha,
            commands=commands,
            report=report,
        )

    async def reported(self, line: str) -> None:
        """Until this was reported; TimeoutError where what should report it has come to nothing."""
        async with asyncio.timeout(60):
            while line not in self.said:
                await asyncio.sleep(0.02)
