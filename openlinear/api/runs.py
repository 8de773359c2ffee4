"""Runs of tasks over HTTP: started, cancelled, followed, answered."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import StrictBool

from openlinear.api.accept import preferred
from openlinear.api.once import Once
from openlinear.api.projects import Limit
from openlinear.api.security import Me, Session
from openlinear.api.shapes import Ask, Diff, Items, LimitsChange, LogEntry, Shape, page_of
from openlinear.services import execution, paging

router = APIRouter(prefix="/api/tasks/{task_id}", tags=["runs"])
Seq = Annotated[int, Query(ge=0, le=2**31 - 1)]
AS_TEXT = ("text/x-diff", "text/plain")
VARY = {"Vary": "Accept"}


class Execute(Shape):
    """`limits` take the place of the task's for this run alone."""

    limits: LimitsChange = LimitsChange()


class Started(Shape):
    run_id: UUID


class Accepted(Shape):
    accepted: bool = True


class Answer(Shape):
    """`reply` and `message` for a permission; `answers` or `reject` for a question."""

    reply: str | None = None
    message: str | None = None
    answers: list[list[str]] | None = None
    reject: StrictBool | None = None


@router.post("/execute", status_code=202)
async def execute(
    task_id: UUID, session: Session, actor: Me, once: Once, body: Execute | None = None
) -> Started:
    limits = body.limits.patch() if body else None

    async def work() -> Started:
        return Started(run_id=await execution.execute(session, actor, task_id, limits))

    return await once.answer(session, actor, Started, work)


@router.post("/cancel", status_code=202)
async def cancel(task_id: UUID, session: Session, actor: Me) -> Accepted:
    await execution.cancel(session, actor, task_id)
    return Accepted()


@router.get("/logs")
async def logs(
    task_id: UUID,
    session: Session,
    actor: Me,
    *,
    after: Seq = 0,
    limit: Limit = paging.MOST,
    cursor: str | None = None,
) -> Items[LogEntry]:
    """Entries of the last run with `seq` greater than `after`, in order."""
    if cursor is not None:
        after = paging.number(cursor, 2**31)
    found = await execution.log(session, actor, task_id, after, limit)
    return Items(
        items=[LogEntry.model_validate(entry) for entry in found],
        next_cursor=paging.encode([str(found[-1].seq)]) if len(found) == limit else None,
    )


@router.get(
    "/diff",
    response_model=Diff,
    responses={
        200: {
            "content": {name: {"schema": {"type": "string"}} for name in AS_TEXT},
            "headers": {"Vary": {"schema": {"type": "string"}}},
        }
    },
)
async def diff(
    task_id: UUID, request: Request, response: Response, session: Session, actor: Me
) -> Diff | Response:
    """The last run's unified diff: as JSON, or alone for an `Accept` that would rather have `text/x-diff` or
    `text/plain`.
    """
    found = await execution.diff(session, actor, task_id)
    wanted = preferred(",".join(request.headers.getlist("accept")), ("application/json", *AS_TEXT))
    if wanted in AS_TEXT:
        return PlainTextResponse(found.patch, media_type=wanted, headers=VARY)
    response.headers.update(VARY)
    return Diff.model_validate(found)


@router.get("/asks")
async def asks(
    task_id: UUID, session: Session, actor: Me, limit: Limit = paging.LIMIT, cursor: str | None = None
) -> Items[Ask]:
    """What the run waits for."""
    return page_of(paging.sliced(await execution.asks(session, actor, task_id), cursor, limit), Ask)


@router.post("/asks/{ask_id}", status_code=202)
async def answer(task_id: UUID, ask_id: UUID, body: Answer, session: Session, actor: Me) -> Accepted:
    given: dict[str, Any] = body.model_dump(exclude_none=True)
    await execution.answer(session, actor, task_id, ask_id, given)
    return Accepted()
