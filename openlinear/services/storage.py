"""Work that was not pushed, and what takes space. Everybody sees their own; the first account sees all."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from engine.enqueue import EngineAway
from engine.storage import BUNDLE, FILES, DiskPart, KeptView
from openlinear import db
from openlinear.engine_client import engine_client, storage_client
from openlinear.models import Project, User
from openlinear.services import execution
from openlinear.services.access import out_of_sight, require_task
from openlinear.services.errors import Conflict, Forbidden, NotFound, Unavailable
from openlinear.services.views import Actor
from openlinear.settings import get_settings

AWAY = "No engine worker answered. See that one runs, then try again."
NOT_YOURS = "Only the first account of this installation sees what takes space for all."
GONE = "There is no such kept work."


@dataclass(frozen=True, slots=True)
class LeftOut:
    name: str
    bytes: int
    why: str


@dataclass(frozen=True, slots=True)
class Kept:
    """Work of a run of the actor's that is not on the remote. Sizes are bytes, 0 where there is none."""

    run_id: UUID
    task_id: UUID
    project_id: UUID
    title: str
    created_at: datetime
    expires_at: datetime
    bundle_bytes: int
    """The run's commits, as a git bundle."""
    files_bytes: int
    """Files that git ignores, as a `.tar.gz`."""
    left_out: tuple[LeftOut, ...]
    restored_at: datetime | None


@dataclass(frozen=True, slots=True)
class Use:
    """What one thing takes. `kind` as in `engine.storage.DiskPart`; `name` is for a person."""

    kind: str
    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Finding:
    kind: str
    subject: str
    detail: str
    mended: bool
    found_at: datetime


@dataclass(frozen=True, slots=True)
class Disk:
    """`made_at` is None where nothing was measured yet."""

    made_at: datetime | None
    free: int
    total: int
    uses: tuple[Use, ...]
    """The largest first."""
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Retention:
    """How long kept work stays, as the installation's environment says."""

    days: float
    min_days: float
    max_gb: float
    files_mb: int


def retention() -> Retention:
    settings = get_settings()
    return Retention(settings.kept_days, settings.kept_min_days, settings.kept_max_gb, settings.kept_files_mb)


def size(number: int) -> str:
    """`999 B`, `1.2 kB`, `34 MB`: as people read it."""
    value = float(number)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 999.5 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if value >= 9.95 or unit == "B" else f"{value:.1f} {unit}"


def left_out(work: Kept) -> str:
    """What was not kept of it, in words; empty where nothing was left out."""
    if not work.left_out:
        return ""
    named = [f"{one.name.removeprefix('files/')} ({size(one.bytes)}, {one.why})" for one in work.left_out[:3]]
    more = f" and {len(work.left_out) - 3} more" if len(work.left_out) > 3 else ""
    return f"Not kept: {', '.join(named)}{more}"


async def kept(session: AsyncSession, actor: Actor) -> list[Kept]:
    """The actor's kept work, the latest first."""
    rows = await storage_client().kept(session, actor.id)
    unseen = await out_of_sight(session, actor, {row.project_id for row in rows})
    return [_kept(row) for row in rows if row.project_id not in unseen]


async def kept_of(session: AsyncSession, actor: Actor, run_id: UUID) -> Kept:
    """NotFound unless it is kept, and the actor's own."""
    return _kept(await _own(session, actor, run_id))


async def restore(session: AsyncSession, actor: Actor, run_id: UUID) -> UUID:
    """Start a run of the same task that begins with this work; its id. As `execution.execute` refuses."""
    row = await _own(session, actor, run_id)
    task, _ = await require_task(session, actor, row.task_id)
    if task.project_id != row.project_id:
        raise Conflict("The task belongs to another project now, where this work does not fit.")
    return await execution.execute(session, actor, row.task_id, restores=run_id)


async def download(session: AsyncSession, actor: Actor, run_id: UUID, *, files: bool = False) -> Path:
    """The file to hand out: the bundle, or the archive of ignored files."""
    await _own(session, actor, run_id)
    path = storage_client().file(run_id, FILES if files else BUNDLE)
    if path is None:
        raise NotFound("Nothing of that kind was kept, or it lies on another machine.")
    return path


async def sees_all(session: AsyncSession, actor: Actor) -> bool:
    """Whether the actor has the first account: whoever set the installation up."""
    first = select(col(User.id)).order_by(col(User.created_at), col(User.id)).limit(1)
    return await session.scalar(first) == actor.id


async def disk(session: AsyncSession, actor: Actor) -> Disk:
    """What takes space for all, as last measured, and what the janitor found. The first account's alone."""
    await _require_first(session, actor)
    return await report(session)


async def report(session: AsyncSession) -> Disk:
    """The same, unscoped: for whoever has the server's own command line."""
    found = await storage_client().disk(session)
    findings = tuple(
        Finding(one.kind, one.subject, one.detail, one.mended, one.found_at)
        for one in await storage_client().findings(session)
    )
    if found is None:
        return Disk(None, 0, 0, (), findings)
    names = await _names(session, found.parts)
    uses = [Use(part.kind, names.get(part.subject, part.subject), part.bytes) for part in found.parts]
    uses.sort(key=lambda use: -use.bytes)
    return Disk(found.made_at, found.free, found.total, tuple(uses), findings)


async def measure(actor: Actor) -> None:
    """Have it measured now. Takes seconds, so it holds no transaction."""
    await _first_alone(actor)
    await measure_now()


async def clean(actor: Actor) -> None:
    """Have the janitor make its round now."""
    await _first_alone(actor)
    await clean_now()


async def measure_now() -> None:
    """Unscoped, as `report`. Unavailable when no worker answers."""
    await _require_worker()
    try:
        await storage_client().measure()
    except EngineAway:
        raise Unavailable(AWAY) from None


async def clean_now() -> None:
    """Unscoped, as `report`. Unavailable when no worker answers."""
    await _require_worker()
    try:
        await storage_client().clean()
    except EngineAway:
        raise Unavailable(AWAY) from None


async def _require_worker() -> None:
    async with db.transaction() as session:
        if not (await engine_client().health(session)).workers:
            raise Unavailable(AWAY)


async def _first_alone(actor: Actor) -> None:
    async with db.transaction() as session:
        await _require_first(session, actor)


async def _require_first(session: AsyncSession, actor: Actor) -> None:
    if not await sees_all(session, actor):
        raise Forbidden(NOT_YOURS)


async def _own(session: AsyncSession, actor: Actor, run_id: UUID) -> KeptView:
    row = await storage_client().kept_of(session, run_id)
    if row is None or row.user_id != actor.id or await out_of_sight(session, actor, {row.project_id}):
        raise NotFound(GONE)
    return row


async def _names(session: AsyncSession, parts: tuple[DiskPart, ...]) -> dict[str, str]:
    """What people call these projects and users; kept work goes by its user's name."""
    projects = await session.execute(select(col(Project.id), col(Project.name)))
    users = await session.execute(select(col(User.id), col(User.name)))
    names = {str(ident): name for ident, name in (*projects, *users)}
    return names | {part.subject: names.get(part.user_id or "", "") for part in parts if part.kind == "kept"}


def _kept(row: KeptView) -> Kept:
    return Kept(
        row.run_id,
        row.task_id,
        row.project_id,
        row.title,
        row.created_at,
        row.expires_at,
        row.bundle_bytes,
        row.files_bytes,
        tuple(LeftOut(one["name"], one["bytes"], one["why"]) for one in row.left_out),
        row.restored_at,
    )
