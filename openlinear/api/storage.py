"""Kept work and what takes space, over HTTP."""

from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import FileResponse

from openlinear.api.fields import Time
from openlinear.api.projects import Limit
from openlinear.api.security import Me, Session
from openlinear.api.shapes import Items, Shape, page_of
from openlinear.services import paging, storage

router = APIRouter(prefix="/api", tags=["storage"])


class LeftOut(Shape):
    name: str
    bytes: int
    why: str


class Kept(Shape):
    run_id: UUID
    task_id: UUID
    project_id: UUID
    title: str
    created_at: Time
    expires_at: Time
    bundle_bytes: int
    files_bytes: int
    left_out: list[LeftOut]
    restored_at: Time | None


class Use(Shape):
    kind: str
    name: str
    bytes: int


class Finding(Shape):
    kind: str
    subject: str
    detail: str
    mended: bool
    found_at: Time


class Disk(Shape):
    made_at: Time | None
    free: int
    total: int
    uses: list[Use]
    findings: list[Finding]


class Restored(Shape):
    run_id: UUID


@router.get("/kept")
async def kept(
    session: Session, actor: Me, limit: Limit = paging.LIMIT, cursor: str | None = None
) -> Items[Kept]:
    """Work of the actor's runs that was not pushed."""
    return page_of(paging.sliced(await storage.kept(session, actor), cursor, limit), Kept)


@router.get("/runs/{run_id}/kept", response_class=FileResponse)
async def bundle(run_id: UUID, session: Session, actor: Me) -> FileResponse:
    """The run's commits as a git bundle: `git fetch FILE '+refs/*:refs/kept/*'` takes them up."""
    path = await storage.download(session, actor, run_id)
    return FileResponse(path, filename=f"{run_id}.bundle", media_type="application/octet-stream")


@router.get("/runs/{run_id}/kept/files", response_class=FileResponse)
async def files(run_id: UUID, session: Session, actor: Me) -> FileResponse:
    """What git ignores of the run's workspace, as a `.tar.gz`."""
    path = await storage.download(session, actor, run_id, files=True)
    return FileResponse(path, filename=f"{run_id}.tar.gz", media_type="application/gzip")


@router.post("/runs/{run_id}/kept/restore", status_code=202)
async def restore(run_id: UUID, session: Session, actor: Me) -> Restored:
    """Start a run of the task that begins with this work."""
    return Restored(run_id=await storage.restore(session, actor, run_id))


@router.get("/storage")
async def disk(session: Session, actor: Me) -> Disk:
    """What takes space, for the first account."""
    return Disk.model_validate(await storage.disk(session, actor))
