"""Projects over HTTP."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field, SecretStr

from openlinear.api.fields import Name
from openlinear.api.security import Me, Session
from openlinear.api.shapes import Items, Project, Shape, Task, page_of
from openlinear.services import demo, paging, projects

router = APIRouter(prefix="/api", tags=["projects"])
Limit = Annotated[int, Query(ge=1, le=paging.MOST)]


class NewProject(Shape):
    name: Name
    clone_url: str
    description: str = ""
    default_branch: str | None = None
    checks: list[str] | None = Field(
        None, max_length=20, description="Commands that a batch's merged result has to pass."
    )
    remote_username: str | None = None
    remote_password: SecretStr | None = None
    team_id: UUID | None = Field(None, description="Whose it is; without one, the caller's own.")


class ProjectChange(Shape):
    name: Name | None = None
    clone_url: str | None = None
    description: str | None = None
    default_branch: str | None = None
    checks: list[str] | None = Field(
        None, max_length=20, description="Commands that a batch's merged result has to pass."
    )
    remote_username: str | None = None
    remote_password: SecretStr | None = None
    team_id: UUID | None = Field(None, description="Whose it is, which stays: 409 for another.")


class Demo(Shape):
    project: Project
    tasks: list[Task]


@router.get("/projects")
async def index(
    session: Session, actor: Me, limit: Limit = paging.LIMIT, cursor: str | None = None
) -> Items[Project]:
    found = await projects.list_projects(session, actor)
    return page_of(paging.sliced(found, cursor, limit), Project)


@router.post("/projects", status_code=201)
async def create(body: NewProject, actor: Me) -> Project:
    wanted = projects.ProjectInput(**_fields(body))
    return Project.model_validate(await projects.create_project(actor, wanted))


@router.get("/projects/{project_id}")
async def show(project_id: UUID, session: Session, actor: Me) -> Project:
    return Project.model_validate(await projects.get_project(session, actor, project_id))


@router.patch("/projects/{project_id}")
async def update(project_id: UUID, body: ProjectChange, actor: Me) -> Project:
    if "team_id" in body.model_fields_set:
        await projects.refuse_to_move(actor, project_id, body.team_id)
    fields = {name: value for name, value in _fields(body).items() if name != "team_id"}
    patch = projects.ProjectPatch(**fields)
    return Project.model_validate(await projects.update_project(actor, project_id, patch))


@router.delete("/projects/{project_id}", status_code=204)
async def delete(project_id: UUID, session: Session, actor: Me) -> None:
    await projects.delete_project(session, actor, project_id)


@router.post("/demo", status_code=201)
async def make_demo(session: Session, actor: Me) -> Demo:
    """The caller's demo project, made when there is none."""
    project, cards = await demo.create_demo(session, actor)
    return Demo(project=Project.model_validate(project), tasks=[Task.of(card) for card in cards])


def _fields(body: NewProject | ProjectChange) -> dict[str, Any]:
    password = body.remote_password
    fields = body.model_dump(exclude={"remote_password"})
    return {**fields, "remote_password": None if password is None else password.get_secret_value()}
