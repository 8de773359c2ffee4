"""Runs with work in their workspaces: real git, PostgreSQL and remote, in a folder for a sandbox."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlmodel import col

from engine.client import Engine
from engine.containers import Containers
from engine.db import Database
from engine.enqueue import Enqueuer
from engine.git import workspace
from engine.models import KeptWork, Run, now
from engine.ports import Box, BoxState, Forge, Known, Report
from engine.record import Recorder
from engine.settings import EngineSettings
from engine.signals import Signals
from engine.world import World
from tests.support.engine import new_run, recorder_of
from tests.support.gitline import Line, MakeLine
from tests.support.gitserver import Content
from tests.support.localsandbox import LocalSandbox

FILES: Mapping[str, Content] = {"app.py": "print('hello')\n", ".gitignore": "*.env\nnode_modules/\n"}


class FolderSandbox(LocalSandbox):
    """One user's sandbox as a folder, with the rest of the port as books."""

    name = "docker"

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.states: dict[UUID, BoxState] = {self.user_id: "running"}
        self.data: dict[UUID, int] = {self.user_id: 1000}
        self.gone: list[UUID] = []

    async def ensure(self, user_id: UUID, report: Report) -> Box:
        self.states[user_id] = "running"
        return Box(user_id, self.box.url, "", self.box.repos, self.box.objects)

    async def stop_run(self, box: Box, run_id: UUID) -> None: ...

    async def pause(self, user_id: UUID) -> None:
        self.states[user_id] = "paused"

    async def remove(self, user_id: UUID) -> None:
        self.states.pop(user_id, None)

    async def found(self) -> dict[UUID, BoxState]:
        return dict(self.states)

    async def holdings(self) -> dict[UUID, int]:
        return dict(self.data)

    async def clear_trials(self, *, under_way: bool = False) -> list[UUID]:
        return []

    async def forget(self, user_id: UUID) -> None:
        await self.remove(user_id)
        self.data.pop(user_id, None)
        self.gone.append(user_id)

    async def image_bytes(self) -> int:
        return 0


@dataclass
class Directory:
    """A fake at the Product port: who and what there is."""

    users: set[UUID] = field(default_factory=set)
    projects: set[UUID] = field(default_factory=set)
    uses: set[tuple[UUID, UUID]] | None = None
    told: list[UUID] = field(default_factory=list)
    begun_meanwhile: set[UUID] = field(default_factory=set)
    """Users and projects that are made just before they are asked for."""

    async def kept(self, session: Any, run_id: UUID) -> None:
        self.told.append(run_id)

    async def known(self) -> Known:
        fresh = self.begun_meanwhile
        uses = None if self.uses is None else frozenset(self.uses)
        return Known(frozenset(self.users | fresh), frozenset(self.projects | fresh), uses)


@dataclass
class House:
    """A worker's world with one project and one user; `begin` makes runs as far as their workspace."""

    here: World
    engine: Engine
    line: Line
    product: Directory
    sandbox: FolderSandbox

    @property
    def settings(self) -> EngineSettings:
        return self.here.settings

    def recorder(self, run_id: UUID) -> Recorder:
        return recorder_of(self.here.database, run_id)

    async def run(self, run_id: UUID) -> Run:
        async with self.here.database.transaction() as session:
            return await session.get_one(Run, run_id)

    async def box(self) -> Box:
        return self.sandbox.box

    async def begin(self, **changes: object) -> tuple[UUID, Path]:
        """A run that is under way, and its workspace."""
        new = new_run(self.sandbox.user_id, project_id=self.line.project_id, **changes)
        async with self.here.database.transaction() as session:
            run_id = await self.engine.start(session, new, 100)
        self.line.run_id = run_id
        work = await self.line.make()
        await self.set(run_id, base_sha=self.line.base, status="executing", started_at=now())
        return run_id, work

    async def set(self, run_id: UUID, **columns: Any) -> None:
        async with self.here.database.transaction() as session:
            run = await session.get_one(Run, run_id, with_for_update=True)
            for name, value in columns.items():
                setattr(run, name, value)

    async def end(self, run_id: UUID, status: str = "failed", **columns: Any) -> None:
        await self.set(run_id, status=status, ended_at=now(), **columns)

    async def kept(self) -> list[KeptWork]:
        async with self.here.database.transaction() as session:
            return list(await session.scalars(select(KeptWork).order_by(col(KeptWork.created_at))))

    def workspace(self, run_id: UUID) -> Path:
        return Path(workspace.folder(self.sandbox.box, run_id))


MakeHouse = Callable[..., House]


@pytest.fixture
def make_house(
    tmp_path: Path, make_line: MakeLine, engine_database: Database, engine_client: Engine
) -> MakeHouse:
    def make(files: Mapping[str, Content] = FILES, **settings: Any) -> House:
        sandbox = FolderSandbox(tmp_path / "box")
        line = make_line(files)
        line.sandbox = sandbox
        configured = EngineSettings(
            database_url=engine_database.url,
            openlinear_home=tmp_path / "home",
            repos_dir=tmp_path / "state",
            allow_local_remotes=True,
            **settings,
        )
        product = Directory({sandbox.user_id}, {line.project_id})
        here = World(
            settings=configured,
            database=engine_database,
            signals=Signals(engine_database.libpq_url),
            sandbox=cast(Any, sandbox),
            containers=Containers(engine_database, cast(Any, sandbox), configured),
            agents={},
            forge=cast(Forge, None),
            product=cast(Any, product),
            enqueuer=Enqueuer(configured),
            worker="tests",
        )
        return House(here, engine_client, line, product, sandbox)

    return make


@pytest.fixture
def house(make_house: MakeHouse) -> House:
    """A house whose repository ignores `*.env` and `node_modules/`."""
    return make_house()
