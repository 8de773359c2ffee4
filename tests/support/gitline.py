"""One project's way through engine.git, from its remote to a pushed branch, for tests of any part of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from engine.git import workspace
from engine.git.mirror import Mirror
from engine.git.publish import push
from engine.git.remote import Remote, parse
from engine.git.store import Store
from engine.git.workspace import Collected
from engine.ports import Credential
from tests.support.gitserver import TOKEN, Content, GitServer, Repo
from tests.support.localsandbox import LocalSandbox

CREDENTIAL = Credential("oauth2", TOKEN)
WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BRANCH = "openlinear/a-task"


@dataclass
class Line:
    """The steps of a run, each with the arguments that most tests want."""

    repo: Repo
    remote: Remote
    mirror: Mirror
    store: Store
    sandbox: LocalSandbox
    scratch: Path
    project_id: UUID
    run_id: UUID = field(default_factory=uuid4)
    base: str = ""

    @property
    def work(self) -> Path:
        """The workspace, as the test reaches it."""
        return Path(workspace.folder(self.sandbox.box, self.run_id))

    @property
    def pack(self) -> Path:
        return self.scratch / f"{self.run_id}.pack"

    async def make(self) -> Path:
        """Refresh the mirror, lend its objects, and make the workspace."""
        self.base = await self.mirror.refresh(self.remote, CREDENTIAL, "main")
        await self.mirror.share(self.sandbox.shared_objects(self.sandbox.user_id) / str(self.project_id))
        await workspace.make(
            self.sandbox,
            self.sandbox.box,
            self.run_id,
            project_id=self.project_id,
            base=self.base,
            branch=BRANCH,
        )
        return self.work

    async def collect(self, limit_mb: int = 64) -> Collected:
        with self.pack.open("wb") as out:
            return await workspace.collect(
                self.sandbox,
                self.sandbox.box,
                self.run_id,
                project_id=self.project_id,
                base=self.base,
                pack_out=out,
                limit_mb=limit_mb,
            )

    async def take_over(self, collected: Collected, limit_mb: int = 64) -> None:
        await self.store.import_pack(
            self.run_id,
            base=self.base,
            head=collected.head,
            tree=collected.tree,
            pack=self.pack,
            limit_mb=limit_mb,
        )

    async def commit(self, collected: Collected, message: str = "Do the task") -> str:
        return await self.store.commit(
            self.run_id,
            base=self.base,
            head=collected.head,
            tree=collected.tree,
            message=message,
            author=("Ada Lovelace", "ada@example.com"),
            when=WHEN,
        )

    async def finish(self) -> str:
        """Collect, take over and commit; returns the commit."""
        collected = await self.collect()
        if collected.changed:
            await self.take_over(collected)
        return await self.commit(collected)

    async def push(self, sha: str, *, expected: str | None = None) -> None:
        await push(self.store, self.remote, CREDENTIAL, sha=sha, branch=BRANCH, expected=expected)


MakeLine = Callable[[Mapping[str, Content]], Line]


@pytest.fixture
def make_line(tmp_path: Path, git_server: GitServer, local_sandbox: LocalSandbox) -> MakeLine:
    """Makes a remote with these files, and the line of a project of it."""

    def make(files: Mapping[str, Content]) -> Line:
        repo = git_server.create("acme/shop", files)
        project_id = uuid4()
        mirror = Mirror(tmp_path / "state", project_id)
        remote = parse(repo.url, allow_local=True)
        return Line(repo, remote, mirror, Store(mirror), local_sandbox, tmp_path, project_id)

    return make


@pytest.fixture
def line(make_line: MakeLine) -> Line:
    """A line whose remote holds a readme and one source file."""
    return make_line({"README.md": "# Shop\n", "src/shop.py": "PRICE = 1\n"})
