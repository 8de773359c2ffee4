"""The demo project: a repository on this machine, and cards that a scripted model can do."""

from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from engine.client import DEMO_CARDS
from openlinear.models import Project, Task
from openlinear.models.columns import now
from openlinear.services import projects
from openlinear.services.cards import task_views
from openlinear.services.views import Actor, ProjectView, TaskView

NAME = "Demo shop"
DESCRIPTION = (
    "A small repository on this machine. Until you connect a provider, its cards run on the demo model: a "
    "script that ships with OpenLinear and makes real edits, tests and commits."
)
BRANCH = "main"


async def demo_offered(session: AsyncSession, actor: Actor) -> bool:
    """Whether this user has no demo project yet."""
    return await _demo(session, actor) is None


async def create_demo(session: AsyncSession, actor: Actor) -> tuple[ProjectView, list[TaskView]]:
    """This user's demo project and its cards, made when there is none."""
    project = await _demo(session, actor)
    if project is None:
        try:
            async with session.begin_nested():
                project = _project(actor)
                session.add(project)
        except IntegrityError:  # pressed twice: the other one made it
            project = await _demo(session, actor)
        else:
            await _add_cards(session, actor, project)
    if project is None:
        raise RuntimeError("a demo project exists but cannot be seen")
    rows = await session.scalars(
        select(Task).where(col(Task.project_id) == project.id).order_by(col(Task.number))
    )
    return projects.view(project), await task_views(session, [(task, project) for task in rows])


async def _demo(session: AsyncSession, actor: Actor) -> Project | None:
    found: Project | None = await session.scalar(
        select(Project).where(col(Project.user_id) == actor.id, col(Project.demo))
    )
    return found


def _project(actor: Actor) -> Project:
    project_id = uuid4()
    return Project(
        id=project_id,
        user_id=actor.id,
        name=NAME,
        key="",
        description=DESCRIPTION,
        clone_url=f"demo:{project_id}",
        default_branch=BRANCH,
        demo=True,
    )


async def _add_cards(session: AsyncSession, actor: Actor, project: Project) -> None:
    project.task_counter = len(DEMO_CARDS)
    for number, (title, description) in enumerate(DEMO_CARDS, start=1):
        session.add(
            Task(
                project_id=project.id,
                number=number,
                title=title,
                description=description,
                rank=float(number),
                created_by=actor.id,
                created_at=now(),
            )
        )
    await projects.reveal(session, project)
