"""What the engine keeps outside the database, for backups, and what becomes of runs in a restored one.

The store of each project holds what its runs made; the demo projects' remotes exist here alone.
Mirrors can be fetched again. Sandboxes and workspaces belong to their machine.
"""

import shutil
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast
from uuid import UUID

from sqlalchemy import case, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from engine.git import transfer
from engine.git.demo import demo_home
from engine.models import Batch, Run, now
from engine.record import Entry, append
from engine.settings import EngineSettings

Kind = Literal["mirrors", "runs", "demo"]
KINDS: tuple[Kind, ...] = ("mirrors", "runs", "demo")
"""In the order to restore them: a store borrows from its mirror."""
_RESTORED = ".restored"


@dataclass(frozen=True, slots=True)
class Repository:
    """A bare repository of the engine's."""

    kind: Kind
    project_id: UUID

    @property
    def name(self) -> str:
        return f"{self.kind}/{self.project_id}"

    @classmethod
    def named(cls, name: str) -> "Repository":
        kind, _, project_id = name.partition("/")
        return cls(cast(Kind, kind), UUID(project_id))

    def path(self, settings: EngineSettings) -> Path:
        match self.kind:
            case "demo":
                return demo_home(settings) / f"{self.project_id}.git"
            case "runs":
                return settings.repos / "mirrors" / f"{self.project_id}.runs.git"
            case "mirrors":
                return settings.repos / "mirrors" / f"{self.project_id}.git"

    def borrows(self, settings: EngineSettings) -> Path | None:
        """The objects folder that it looks into for what it does not hold."""
        if self.kind != "runs":
            return None
        return Repository("mirrors", self.project_id).path(settings) / "objects"


def repositories(settings: EngineSettings, *, with_mirrors: bool) -> Iterator[Repository]:
    """Those that are there."""
    folders: dict[Kind, tuple[Path, str]] = {
        "mirrors": (settings.repos / "mirrors", ".git"),
        "runs": (settings.repos / "mirrors", ".runs.git"),
        "demo": (demo_home(settings), ".git"),
    }
    for kind in KINDS:
        folder, suffix = folders[kind]
        for path in sorted(folder.glob(f"*{suffix}")):
            name = path.name.removesuffix(suffix)
            if _is_id(name) and (kind != "mirrors" or with_mirrors):
                yield Repository(kind, UUID(name))


async def pack(settings: EngineSettings, repository: Repository, folder: Path) -> tuple[Path | None, bytes]:
    """As `engine.git.transfer.pack`."""
    return await transfer.pack(repository.path(settings), folder)


async def unpack(settings: EngineSettings, repository: Repository, content: Path | None, refs: bytes) -> None:
    """Make it beside its place, for `settle`. RunError when it is damaged."""
    await transfer.unpack(
        _beside(repository.path(settings)),
        content,
        refs,
        borrow=repository.borrows(settings),
        fsck=repository.kind == "runs",
    )


def settle(settings: EngineSettings, repository: Repository) -> None:
    """Put what `unpack` made into its place."""
    path = repository.path(settings)
    _beside(path).rename(path)


def clear(settings: EngineSettings, repository: Repository) -> None:
    """Remove what `unpack` made, if it has no place yet."""
    shutil.rmtree(_beside(repository.path(settings)), ignore_errors=True)


async def end_open_runs(
    session: AsyncSession, reason: str, ended: Callable[[Any, UUID], Awaitable[None]]
) -> int:
    """End every run that was under way, in the caller's transaction; how many there were.

    Their sandboxes and workflows are not here, and beginning them anew would spend money unasked, twice
    where the original goes on. `ended` is called as the worker's `Product` would be.
    """
    query = select(Run).where(col(Run.cleared_at).is_(None)).order_by(col(Run.created_at)).with_for_update()
    runs = list((await session.execute(query)).scalars())
    under_way = [run for run in runs if run.ended_at is None]
    for run in runs:  # what is to be cleared up lies elsewhere
        run.fence, run.owner, run.cleared_at = run.fence + 1, None, now()
    for run in under_way:
        cancelled = run.cancel_requested_at is not None
        run.status, run.ended_at, run.message = "cancelled" if cancelled else "failed", now(), ""
        if not cancelled:
            run.error, run.error_kind = reason, "sandbox"
        await session.flush()
        await ended(session, run.id)
        message, level = ("Cancelled", "info") if cancelled else (reason, "error")
        await append(session, run, [Entry("status", "ended", message=message, level=level)])
    await _end_batches(session, reason)
    return len(under_way)


async def _end_batches(session: AsyncSession, reason: str) -> None:
    still_open = col(Batch.ended_at).is_(None)
    cancelled = col(Batch.cancel_requested_at).is_not(None)
    await session.execute(
        update(Batch)
        .where(still_open)
        .values(
            status=case((cancelled, "cancelled"), else_="failed"),
            error=case((cancelled, None), else_=reason),
            ended_at=now(),
            message="",
            fence=col(Batch.fence) + 1,
            owner=None,
        )
    )


def _beside(path: Path) -> Path:
    return path.with_name(path.name + _RESTORED)


def _is_id(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False
