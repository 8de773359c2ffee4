"""Batches: many tasks executed together, to one pull request. The engine does the work."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from engine.admission import AlreadyRunning
from engine.batches.client import BatchView, NewBatch
from openlinear.engine_client import batches_client, engine_client
from openlinear.models import Project, Task
from openlinear.services import batch_news, dependencies, execution, news, paging, sandbox
from openlinear.services.access import require_project, require_runner, require_task, visible_projects
from openlinear.services.cards import task_views
from openlinear.services.errors import Conflict, Invalid, NotFound
from openlinear.services.preferences import BEHAVIORS, get_settings
from openlinear.services.views import Actor, ExecutionSettings, Page

MODES = ("parallel", "queue")
AGAIN = ("failed", "skipped", "cancelled")


@dataclass(frozen=True, slots=True)
class BatchInput:
    """What is None is as the actor's settings say."""

    task_ids: Sequence[UUID]
    mode: str
    auto_approve: bool | None = None
    stop_on_failure: bool | None = None
    conflict_behavior: str | None = None
    build_on_previous: bool | None = None


async def create(session: AsyncSession, actor: Actor, wanted: BatchInput) -> BatchView:
    """Start a batch of tasks of one project as this actor: all of them, or none with the reason.

    Invalid for an empty list, one over `maxBatchSize`, duplicates, or tasks of several projects; NotFound for
    a task the actor may not see; Conflict where one runs already, is archived, or waits for what is not done.
    """
    settings = await get_settings(session, actor)
    _check(wanted, settings)
    await sandbox.require_fit(session)
    await engine_client().hold_admission(session, actor.id)
    rows, project = await _held(session, actor, wanted.task_ids)
    needed = await dependencies.dependencies(session, wanted.task_ids)
    cards = {card.id: card for card in await task_views(session, [(task, project) for task in rows])}
    for card in cards.values():
        if card.archived:
            raise Conflict(f"{card.identifier} is archived. Restore it first, then execute it.")
        dependencies.require_ready(card.identifier, needed.get(card.id, ()), within=cards)
    waits_for = {task_id: {one.id for one in of if one.id in cards} for task_id, of in needed.items()}
    ordered = dependencies.in_order(list(wanted.task_ids), waits_for)
    by_id = {task.id: task for task in rows}
    new = NewBatch(
        project_id=project.id,
        user_id=actor.id,
        mode=wanted.mode,
        base_branch=project.default_branch,
        author_name=actor.name,
        author_email=actor.email,
        runs=tuple([await execution.new_run(session, actor, by_id[one], project) for one in ordered]),
        waits_for=waits_for,
        checks=tuple(project.checks),
        **_rules(wanted, settings),
    )
    try:
        batch_id = await batches_client().start(session, new)
    except AlreadyRunning as error:
        names = [cards[task_id].identifier for task_id in wanted.task_ids if task_id in error.task_ids]
        what = (
            f"{' and '.join(names)} {'runs' if len(names) == 1 else 'run'}" if names else "One of them runs"
        )
        raise Conflict(f"{what} already. Wait for the end, cancel it, or leave it out.") from None
    for task in rows:  # every lock is held by now: telling takes the last one
        task.version += 1
        await news.tell(session, "task:updated", actor.id, project_id=project.id, task_id=task.id)
    await batch_news.tell(session, batch_id, "created")
    return await _found(session, batch_id)


async def batch(session: AsyncSession, actor: Actor, batch_id: UUID) -> BatchView:
    """NotFound for who may not see its project, after the same questions as where there is none."""
    return await _found(session, batch_id, among=await _visible(session, actor))


async def some(session: AsyncSession, actor: Actor, batch_ids: Collection[UUID]) -> list[BatchView]:
    """Those of these batches that are there for the actor."""
    return await batches_client().some(session, batch_ids, among=await _visible(session, actor))


async def list_batches(
    session: AsyncSession,
    actor: Actor,
    *,
    project_id: UUID | None = None,
    limit: int = paging.LIMIT,
    cursor: str | None = None,
    still_open: bool = False,
) -> Page[BatchView]:
    """The newest first; `still_open` leaves out those that are over."""
    if project_id is not None:
        projects = [(await require_project(session, actor, project_id)).id]
    else:
        projects = await _visible(session, actor)
    before = paging.moment(cursor) if cursor is not None else None
    found = await batches_client().batches(
        session, projects, limit=paging.limited(limit) + 1, before=before, still_open=still_open
    )
    page, more = found[:limit], len(found) > limit
    following = paging.encode([page[-1].created_at.isoformat(), str(page[-1].id)]) if more else None
    return Page(tuple(page), following)


async def approve(session: AsyncSession, actor: Actor, batch_id: UUID) -> None:
    """Let it go on. Conflict where it waits for nobody."""
    await _require_runner(session, actor, batch_id, "approve it")
    if not await batches_client().approve(session, batch_id):
        raise Conflict("The batch does not wait for an approval.")
    await batch_news.tell(session, batch_id, "updated")


async def cancel(session: AsyncSession, actor: Actor, batch_id: UUID) -> None:
    """Ask for the end of it all. Conflict where it is over, or its result is pushed already."""
    await _require_runner(session, actor, batch_id, "cancel it")
    if not await batches_client().cancel(session, batch_id):
        raise Conflict("The batch has ended, or its result is pushed already.")
    await batch_news.tell(session, batch_id, "updated")


async def cancel_task(session: AsyncSession, actor: Actor, batch_id: UUID, task_id: UUID) -> None:
    """Take one task out of it; the others go on. Conflict where they are being merged."""
    found = await batch(session, actor, batch_id)
    if not any(task.task_id == task_id for task in found.tasks):
        raise NotFound("The batch has no such task.")
    await execution.cancel(session, actor, task_id)


async def retry(session: AsyncSession, actor: Actor, batch_id: UUID) -> BatchView:
    """A new batch, under the same rules, of what this one, which is over, left out. Conflict where nothing
    is."""
    old = await batch(session, actor, batch_id)
    if old.ended_at is None:
        raise Conflict("The batch is still under way.")
    left = [task.task_id for task in old.tasks if task.status in AGAIN]
    if not left:
        raise Conflict("Nothing was left out of this batch.")
    wanted = BatchInput(
        task_ids=left,
        mode=old.mode,
        auto_approve=old.auto_approve,
        stop_on_failure=old.stop_on_failure,
        conflict_behavior=old.conflict_behavior,
        build_on_previous=old.build_on_previous,
    )
    return await create(session, actor, wanted)


# -- how ----------------------------------------------------------------------------------------------


async def _visible(session: AsyncSession, actor: Actor) -> list[UUID]:
    return list(await session.scalars(select(col(Project.id)).where(visible_projects(actor))))


async def _found(
    session: AsyncSession, batch_id: UUID, *, among: Collection[UUID] | None = None
) -> BatchView:
    found = await batches_client().batch(session, batch_id, among=among)
    if found is None:
        raise NotFound("There is no such batch.")
    return found


async def _require_runner(session: AsyncSession, actor: Actor, batch_id: UUID, what: str) -> None:
    found = await batch(session, actor, batch_id)
    project = await require_project(session, actor, found.project_id)
    await require_runner(session, actor, project, found.user_id, what)


def _check(wanted: BatchInput, settings: ExecutionSettings) -> None:
    count = len(wanted.task_ids)
    if wanted.mode not in MODES:
        raise Invalid("A batch runs its tasks in parallel or as a queue.", mode="must be parallel or queue")
    if wanted.conflict_behavior not in (None, *BEHAVIORS):
        choice = ", ".join(BEHAVIORS)
        raise Invalid(f"The conflictBehavior must be one of: {choice}.", conflictBehavior=f"one of: {choice}")
    if not count:
        raise Invalid("Choose at least one task.", taskIds="is empty")
    if count > settings.max_batch_size:
        raise Invalid(
            f"A batch holds at most {settings.max_batch_size} tasks, and these are {count}. The limit is "
            "under Settings.",
            taskIds=f"at most {settings.max_batch_size}",
        )
    if len(set(wanted.task_ids)) < count:
        raise Invalid("A task is in this list twice.", taskIds="holds a task twice")


async def _held(session: AsyncSession, actor: Actor, task_ids: Sequence[UUID]) -> tuple[list[Task], Project]:
    """The tasks, locked in the order of their ids, and their one project."""
    found = [await require_task(session, actor, task_id) for task_id in sorted(task_ids)]
    if len({project.id for _, project in found}) > 1:
        raise Invalid("A batch is of one project's tasks.", taskIds="of several projects")
    for task_id in sorted(task_ids):
        await execution.held(session, actor, task_id)
    by_id = {task.id: task for task, _ in found}
    return [by_id[task_id] for task_id in task_ids], found[0][1]


def _rules(wanted: BatchInput, settings: ExecutionSettings) -> dict[str, Any]:
    names = ("auto_approve", "stop_on_failure", "conflict_behavior", "build_on_previous")
    given = {name: getattr(wanted, name) for name in names}
    return {name: getattr(settings, name) if value is None else value for name, value in given.items()}
