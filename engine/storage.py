"""What the product reads of the engine's storage: kept work, what takes space, what the janitor found."""

from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from engine.client import Engine
from engine.models import Finding, KeptWork, StorageReport
from engine.settings import EngineSettings

BUNDLE, FILES = "work.bundle", "files.tar.gz"
"""Of a kept run: its commits, and what git ignores."""
DISK = "disk"


@dataclass(frozen=True, slots=True)
class KeptView:
    """Work of an ended run that is not on its remote. Sizes are bytes, 0 where there is no such file."""

    run_id: UUID
    task_id: UUID
    project_id: UUID
    user_id: UUID
    title: str
    created_at: datetime
    expires_at: datetime
    bundle_bytes: int
    files_bytes: int
    left_out: list[dict[str, Any]]
    """`{name, bytes, why}` of each file or folder that was not kept."""
    restored_at: datetime | None


@dataclass(frozen=True, slots=True)
class DiskPart:
    """`kind` is repository (of a project), sandbox (of a user), kept (of a run), image, database or logs."""

    kind: str
    subject: str
    """The project's, user's or run's id; empty for what belongs to all."""
    bytes: int
    user_id: str | None = None
    """Whose the kept work is."""


@dataclass(frozen=True, slots=True)
class DiskView:
    made_at: datetime
    free: int
    """Bytes that are left on the disk of OPENLINEAR_HOME, of `total`."""
    total: int
    parts: tuple[DiskPart, ...]


@dataclass(frozen=True, slots=True)
class FindingView:
    """What the janitor met: mended, or for somebody to look at."""

    kind: str
    subject: str
    detail: str
    mended: bool
    found_at: datetime


class Storage:
    """One per process, beside its `Engine`."""

    def __init__(self, settings: EngineSettings, engine: Engine) -> None:
        self._settings = settings
        self._engine = engine

    async def kept(self, session: AsyncSession, user_id: UUID) -> list[KeptView]:
        """This user's kept work, the latest first."""
        query = select(KeptWork).where(col(KeptWork.user_id) == user_id)
        rows = await session.scalars(query.order_by(col(KeptWork.created_at).desc()))
        return [_kept(row) for row in rows]

    async def kept_of(self, session: AsyncSession, run_id: UUID) -> KeptView | None:
        row = await session.get(KeptWork, run_id)
        return _kept(row) if row else None

    def file(self, run_id: UUID, name: str) -> Path | None:
        """Where BUNDLE or FILES of a kept run lies; None where this machine does not have it."""
        if name not in (BUNDLE, FILES):
            raise ValueError(f"kept work has no {name}")
        path = self._settings.kept / str(run_id) / name
        return path if path.is_file() else None

    async def disk(self, session: AsyncSession) -> DiskView | None:
        """What took space when it was last measured."""
        row = await session.get(StorageReport, DISK)
        if row is None:
            return None
        parts = tuple(DiskPart(**part) for part in row.value["parts"])
        return DiskView(row.made_at, row.value["free"], row.value["total"], parts)

    async def findings(self, session: AsyncSession) -> list[FindingView]:
        """What the janitor found: what is to be looked at first, then the latest."""
        query = select(Finding).order_by(col(Finding.mended), col(Finding.found_at).desc())
        names = [field.name for field in fields(FindingView)]
        return [
            FindingView(**{name: getattr(row, name) for name in names})
            for row in await session.scalars(query)
        ]

    async def measure(self) -> None:
        """Have a worker measure the disk now. EngineAway when none answers."""
        await self._engine.call("measure_disk", seconds=120)

    async def clean(self) -> None:
        """Have a worker do the janitor's round now, then measure. EngineAway when none answers."""
        await self._engine.call("clean_up", seconds=600)


def _kept(row: KeptWork) -> KeptView:
    return KeptView(**{field.name: getattr(row, field.name) for field in fields(KeptView)})
