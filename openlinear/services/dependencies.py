"""Which tasks a task waits for."""

from collections.abc import Collection, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear.models import Project, Task, TaskDependency
from openlinear.services.errors import Conflict, Invalid
from openlinear.services.views import Dependency

MOST = 50


async def dependencies(
    session: AsyncSession, task_ids: Collection[UUID]
) -> dict[UUID, tuple[Dependency, ...]]:
    """What each of these tasks waits for, in one query. Unscoped: a task's project is its dependencies'."""
    found: dict[UUID, list[Dependency]] = {}
    if task_ids:
        rows = await session.execute(
            select(col(TaskDependency.task_id), Task, col(Project.key))
            .join(Task, col(Task.id) == col(TaskDependency.waits_for))
            .join(Project, col(Project.id) == col(Task.project_id))
            .where(col(TaskDependency.task_id).in_(task_ids))
            .order_by(col(Task.number))
        )
        for task_id, task, key in rows:
            found.setdefault(task_id, []).append(
                Dependency(task.id, f"{key}-{task.number}", task.title, task.status == "done")
            )
    return {task_id: tuple(needed) for task_id, needed in found.items()}


async def change(session: AsyncSession, task: Task, project: Project, wanted: Collection[UUID]) -> None:
    """Let the task, which the caller has locked, wait for exactly these. Invalid for a circle, or another
    project's task."""
    wanted = set(wanted)
    if len(wanted) > MOST:
        raise Invalid(f"A task waits for at most {MOST} others.", waitsFor=f"at most {MOST}")
    # One change of a project's dependencies at a time: two could close a circle together.
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"waits:{project.id}", 0))))
    known = select(col(Task.id)).where(col(Task.id).in_(wanted), col(Task.project_id) == project.id)
    if wanted - set(await session.scalars(known)):
        raise Invalid("A task waits for tasks of its own project only.", waitsFor="no such task here")
    edges = await _edges(session, project.id)
    edges[task.id] = wanted
    try:
        list(TopologicalSorter(edges).static_order())
    except CycleError:
        raise Invalid(
            "That would be a circle: one of those waits for this task.", waitsFor="a circle"
        ) from None
    await session.execute(delete(TaskDependency).where(col(TaskDependency.task_id) == task.id))
    session.add_all(TaskDependency(task_id=task.id, waits_for=other) for other in wanted)
    await session.flush()


async def _edges(session: AsyncSession, project_id: UUID) -> dict[UUID, set[UUID]]:
    rows = await session.execute(
        select(TaskDependency)
        .join(Task, col(Task.id) == col(TaskDependency.task_id))
        .where(col(Task.project_id) == project_id)
    )
    edges: dict[UUID, set[UUID]] = {}
    for (row,) in rows:
        edges.setdefault(row.task_id, set()).add(row.waits_for)
    return edges


def require_ready(reference: str, needed: Sequence[Dependency], within: Collection[UUID] = ()) -> None:
    """Conflict where something that is waited for is neither done nor `within` the same batch."""
    missing = [one.identifier for one in needed if not one.done and one.id not in within]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise Conflict(
            f"{reference} waits for {' and '.join(missing)}, which {verb} not done. Execute them first, or "
            "together in one batch."
        )


def in_order(tasks: Sequence[UUID], waits_for: Mapping[UUID, Collection[UUID]]) -> list[UUID]:
    """These tasks, each after those it waits for, otherwise as given. Invalid where they wait in a circle."""
    graph = {task: [other for other in waits_for.get(task, ()) if other in set(tasks)] for task in tasks}
    sorter = TopologicalSorter(graph)
    try:
        sorter.prepare()
    except CycleError:
        raise Invalid("These tasks wait for each other in a circle.", taskIds="a circle") from None
    place = {task: number for number, task in enumerate(tasks)}
    ready: list[UUID] = []
    ordered: list[UUID] = []
    while sorter.is_active():
        ready = sorted([*ready, *sorter.get_ready()], key=place.__getitem__)
        first = ready.pop(0)
        ordered.append(first)
        sorter.done(first)
    return ordered
