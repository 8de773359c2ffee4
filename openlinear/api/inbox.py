"""The inbox over HTTP: finished and failed work, and what waits for its person."""

from uuid import UUID

from fastapi import APIRouter
from pydantic import StrictBool

from openlinear.api.fields import Time
from openlinear.api.projects import Limit
from openlinear.api.security import Me, Session
from openlinear.api.shapes import Items, Shape
from openlinear.services import inbox, paging

router = APIRouter(prefix="/api/inbox", tags=["inbox"])


class InboxEntry(Shape):
    id: UUID
    status: str
    project_id: UUID
    project: str
    task_id: UUID | None
    identifier: str | None
    run_id: UUID | None
    batch_id: UUID | None
    title: str
    message: str
    at: Time
    read: bool


class Inbox(Items[InboxEntry]):
    unread: int


class Reading(Shape):
    read: StrictBool


@router.get("")
async def index(session: Session, actor: Me, limit: Limit = paging.LIMIT, cursor: str | None = None) -> Inbox:
    """The latest first. `unread` counts all of them, on any page."""
    page = await inbox.items(session, actor, limit=limit, cursor=cursor)
    return Inbox(
        items=[InboxEntry.model_validate(item) for item in page.items],
        next_cursor=page.next_cursor,
        unread=await inbox.unread(session, actor),
    )


@router.post("/read-all", status_code=204)
async def read_all(session: Session, actor: Me) -> None:
    await inbox.read_all(session, actor)


@router.patch("/{item_id:uuid}")
async def update(item_id: UUID, body: Reading, session: Session, actor: Me) -> InboxEntry:
    return InboxEntry.model_validate(await inbox.set_read(session, actor, item_id, body.read))
