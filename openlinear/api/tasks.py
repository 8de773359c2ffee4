"""Tasks over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field, FiniteFloat, Strict, StrictBool

from openlinear.api.fields import Agent, Day, Description, Priority, Status, Title
from openlinear.api.once import Once
from openlinear.api.projects import Limit
from openlinear.api.security import Me, Session
from openlinear.api.shapes import Items, LimitsChange, Shape, Task
from openlinear.services import paging, tasks

router = APIRouter(prefix="/api/tasks", tags=["tasks"])


class NewTask(Shape):
    project_id: UUID
    title: Title
    description: Description = ""
    priority: Priority | None = None
    labels: list[str] = Field(default=[], description="Ids or names of labels that exist.")
    due_date: Day | None = None
    agent: Agent = "opencode"
    model: str = Field("", description="`providerId/modelId`; empty for the default.")
    limits: LimitsChange = Field(LimitsChange(), description="What each of its runs may cost.")
    waits_for: list[UUID] = Field([], max_length=50, description="Tasks of the project that come first.")


class TaskChange(Shape):
    """Fields that are left out stay. Null clears `priority` and `dueDate`, and means nothing elsewhere."""

    title: Title | None = None
    description: Description | None = None
    priority: Priority | None = None
    labels: list[str] | None = None
    due_date: Day | None = None
    agent: Agent | None = None
    model: str | None = None
    status: Status | None = None
    order: Annotated[FiniteFloat, Strict()] | None = None
    archived: StrictBool | None = None
    limits: LimitsChange | None = None
    waits_for: list[UUID] | None = Field(None, max_length=50)


CLEARED = ("priority", "due_date")


@router.get("")
async def index(
    session: Session,
    actor: Me,
    *,
    project_id: Annotated[UUID | None, Query(alias="projectId")] = None,
    status: Status | None = None,
    label: str | None = None,
    q: str | None = None,
    archived: bool = False,
    limit: Limit = paging.LIMIT,
    cursor: str | None = None,
) -> Items[Task]:
    wanted = tasks.TaskFilter(project_id, status, label, q, archived)
    page = await tasks.list_tasks(session, actor, wanted, limit=limit, cursor=cursor)
    return Items(items=[Task.of(task) for task in page.items], next_cursor=page.next_cursor)


@router.post("", status_code=201)
async def create(body: NewTask, session: Session, actor: Me, once: Once) -> Task:
    wanted = tasks.TaskInput(**body.model_dump())

    async def work() -> Task:
        return Task.of(await tasks.create_task(session, actor, wanted))

    return await once.answer(session, actor, Task, work)


@router.get("/{task_id}")
async def show(task_id: UUID, session: Session, actor: Me) -> Task:
    return Task.of(await tasks.task(session, actor, task_id))


@router.patch("/{task_id}")
async def update(task_id: UUID, body: TaskChange, session: Session, actor: Me) -> Task:
    given = body.model_dump(exclude_unset=True)
    patch = {name: value for name, value in given.items() if value is not None or name in CLEARED}
    return Task.of(await tasks.update_task(session, actor, task_id, tasks.TaskPatch(**patch)))  # type: ignore[typeddict-item]


@router.delete("/{task_id}", status_code=204)
async def delete(task_id: UUID, session: Session, actor: Me) -> None:
    await tasks.delete_task(session, actor, task_id)
