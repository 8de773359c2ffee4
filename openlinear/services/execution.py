"""Runs of tasks: started, cancelled, followed, answered. The engine does the work."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from engine.admission import AlreadyRunning
from engine.batches.client import SKIPPED
from engine.client import AskView as EngineAsk
from engine.client import NewRun, ParallelLimitReached, RunView
from engine.ports import Brief
from openlinear.engine_client import batches_client, engine_client
from openlinear.models import Project, Task
from openlinear.models.columns import now
from openlinear.services import (
    answers,
    audit,
    batch_news,
    inbox_entries,
    news,
    ranks,
    sandbox,
    webhook_events,
)
from openlinear.services.access import hold_membership, require_runner, require_task
from openlinear.services.cards import task_view
from openlinear.services.dependencies import dependencies, require_ready
from openlinear.services.errors import Conflict, NotFound
from openlinear.services.limits import LimitsPatch, for_run
from openlinear.services.preferences import get_settings
from openlinear.services.providers import model_for
from openlinear.services.views import Actor, AskView, DiffView, FileChange, LogEntry, TaskView

AFTERWARDS = {"done": "done", "cancelled": "cancelled"}
"""Where an ended run puts its task; after a failure it stays, to be retried."""

CARRY_ON = (
    "\n\nAn earlier attempt left its unfinished work in this folder. Look at it first and carry on from it."
)


async def execute(
    session: AsyncSession,
    actor: Actor,
    task_id: UUID,
    limits: LimitsPatch | None = None,
    *,
    restores: UUID | None = None,
) -> UUID:
    """Start a run of the task as this actor; its id. It begins when the transaction commits.

    `limits` take the place of the task's, for this run alone. `restores` is a run of the task whose kept
    work it begins with (`storage.restore` checks whose it is).

    Conflict when it runs already, the actor's parallel limit is reached, no model is connected, or
    agents would share the server itself (see `sandbox`).
    """
    await engine_client().hold_admission(session, actor.id)
    found, project = await held(session, actor, task_id)
    if found.archived:
        raise Conflict("The task is archived. Restore it first, then execute it.")
    await sandbox.require_fit(session)
    needed = (await dependencies(session, [task_id])).get(task_id, ())
    require_ready(f"{project.key}-{found.number}", needed)
    new = await new_run(session, actor, found, project, limits, restores=restores)
    limit = (await get_settings(session, actor)).parallel_limit
    try:
        run_id = await engine_client().start(session, new, limit)
    except AlreadyRunning:
        raise Conflict("The task is running already.") from None
    except ParallelLimitReached as error:
        raise Conflict(f"{error}. The limit is under Settings.") from None
    await _put(session, found, "in_progress", actor.id)
    return run_id


async def new_run(
    session: AsyncSession,
    actor: Actor,
    found: Task,
    project: Project,
    limits: LimitsPatch | None = None,
    *,
    restores: UUID | None = None,
) -> NewRun:
    """What the engine has to know to run this task as this actor. Conflict when no model is connected."""
    card = await task_view(session, found, project)
    return NewRun(
        task_id=found.id,
        project_id=project.id,
        user_id=actor.id,
        reference=card.identifier,
        title=found.title,
        prompt=_prompt(card) + (CARRY_ON if restores else ""),
        agent=found.agent,
        model=await model_for(session, actor, found.model, demo=project.demo),
        author_name=actor.name,
        author_email=actor.email,
        base_branch=project.default_branch,
        limits=(await for_run(session, actor, found.limits, limits, team_id=project.team_id)).stored(),
        restores=restores,
    )


async def cancel(session: AsyncSession, actor: Actor, task_id: UUID) -> None:
    """Ask for the end of the task's run. Who started it may, and a team's admins. Conflict when nothing
    runs.
    """
    run = await _run(session, actor, task_id)
    if run is None or run.ended_at is not None:
        raise Conflict("Nothing runs for this task.")
    await _require_runner(session, actor, run, "cancel it", "run:cancelled")
    if run.batch_id is not None and (await batches_client().merging(session, run.batch_id)):
        raise Conflict("Its batch is being merged. Cancel the whole batch, or wait for its end.")
    if not await engine_client().cancel(session, run.id, ended):
        raise Conflict("The run has just ended.")


async def log(
    session: AsyncSession, actor: Actor, task_id: UUID, after: int = 0, limit: int = 200
) -> list[LogEntry]:
    """Entries of the task's last run with a number greater than `after`, in order."""
    run = await _run(session, actor, task_id)
    if run is None:
        return []
    events = await engine_client().log(session, run.id, after, limit)
    return [
        LogEntry(e.seq, e.time, e.level, e.kind, e.part, e.state, e.message, e.details, e.run_id)
        for e in events
    ]


async def diff(session: AsyncSession, actor: Actor, task_id: UUID) -> DiffView:
    """What the task's last run changed; empty before there is anything."""
    run = await _run(session, actor, task_id)
    found = await engine_client().diff(session, run.id) if run else None
    if run is None or found is None:
        return DiffView("", (), run.id if run else None)
    files = tuple(FileChange(f["path"], f["additions"], f["deletions"], f["binary"]) for f in found.files)
    return DiffView(found.patch, files, run.id)


async def asks(session: AsyncSession, actor: Actor, task_id: UUID) -> list[AskView]:
    """What the task's run waits for, oldest first."""
    run = await _run(session, actor, task_id)
    return [answers.view(ask) for ask in await engine_client().asks(session, [run.id])] if run else []


async def answer(
    session: AsyncSession, actor: Actor, task_id: UUID, ask_id: UUID, given: dict[str, Any]
) -> None:
    """Answer what the task's run waits for. Conflict when that was settled already.

    A permission takes `{reply: once|always|reject, message?}`, a question `{answers: [[label, …], …]}`
    with a list for each question, or `{reject: true}`.
    """
    run = await _run(session, actor, task_id)
    ask: EngineAsk | None = await engine_client().ask(session, ask_id)
    if run is None or ask is None or ask.run_id != run.id:
        raise NotFound("There is no such question.")
    await _require_runner(session, actor, run, "answer for it", "run:answered")
    if not await engine_client().answer(session, ask_id, answers.checked(ask, given)):
        raise Conflict("This has been settled already.")
    await waits(session, run.id)


async def ended(session: AsyncSession, run_id: UUID) -> None:
    """A run ended: put its task where it belongs. For the engine, in its transaction; no actor."""
    run = await engine_client().run(session, run_id)
    if run is None:
        return
    found = await session.get(Task, run.task_id, with_for_update=True)
    if found is None:
        return
    noted = await inbox_entries.run_ended(session, run)
    await webhook_events.run_ended(session, run, found)
    # In a batch it may have been waiting for its turn: then its card has not moved yet.
    moves = run.batch_id is None or found.status == "in_progress"
    status = AFTERWARDS.get(run.status, found.status) if moves else found.status
    await _put(session, found, status, run.user_id)
    if noted:
        await inbox_entries.tell(session, run.user_id)
    if run.batch_id is not None and not (run.status == "done" and run.pushed):
        await batch_news.tell(session, run.batch_id, f"task:{_in_batch(run)}", run.task_id)


async def waits(session: AsyncSession, run_id: UUID) -> None:
    """A run waits for its person, or no longer. For the engine, as `ended`."""
    run = await engine_client().run(session, run_id)
    if run is not None and await inbox_entries.run_waits(session, run):
        await inbox_entries.tell(session, run.user_id)


async def begins(session: AsyncSession, run_id: UUID) -> Brief:
    """A run begins that waited in its batch. For the engine, as `ended`."""
    run = await engine_client().run(session, run_id)
    found = await session.get(Task, run.task_id, with_for_update=True) if run else None
    project = await session.get(Project, found.project_id) if found else None
    if run is None or found is None or project is None:
        raise RuntimeError("a task with an open run is not deleted")
    card = await task_view(session, found, project)
    await _put(session, found, "in_progress", run.user_id)
    return Brief(found.title, _prompt(card))


async def kept(session: AsyncSession, run_id: UUID) -> None:
    """Work of a run is kept, or no longer, as its panel shows. For the engine, as `ended`."""
    run = await engine_client().run(session, run_id)
    found = await session.get(Task, run.task_id, with_for_update=True) if run else None
    if run is not None and found is not None:
        await _put(session, found, found.status, run.user_id)


async def proposal_changed(session: AsyncSession, runs: Sequence[RunView], *, merged: bool) -> None:
    """What became of the pull request of these runs is known: their cards show it, and once it is merged they
    are done. No actor: a forge says so. A run that is open puts its own card there.
    """
    ids = sorted(run.task_id for run in runs)
    query = select(Task).where(col(Task.id).in_(ids)).order_by(col(Task.id)).with_for_update()
    # All of them before the first news, whose numbering locks until the commit.
    cards = {card.id: card for card in await session.scalars(query)}
    for run in runs:
        if (card := cards.get(run.task_id)) is not None:
            closes = merged and run.ended_at is not None
            await _put(session, card, "done" if closes else card.status, run.user_id)


async def held(session: AsyncSession, actor: Actor, task_id: UUID) -> tuple[Task, Project]:
    """The task, locked, in a project that nobody can delete meanwhile."""
    _, project = await require_task(session, actor, task_id)
    await session.execute(
        select(col(Project.id))
        .where(col(Project.id) == project.id)
        .with_for_update(read=True, key_share=True)
    )
    await hold_membership(session, actor, project)
    return await require_task(session, actor, task_id, lock=True)


async def _put(session: AsyncSession, found: Task, status: str, user_id: UUID) -> None:
    """Move the card, if that is a move, and tell: its run has begun or ended."""
    if found.status != status:
        found.rank = await ranks.top(session, found.project_id, status)
        found.status = status
    found.version += 1
    found.updated_at = now()
    await news.tell(session, "task:updated", user_id, project_id=found.project_id, task_id=found.id)


async def _run(session: AsyncSession, actor: Actor, task_id: UUID) -> RunView | None:
    """The task's last run, if the actor may see the task."""
    await require_task(session, actor, task_id)
    return (await engine_client().latest(session, [task_id])).get(task_id)


async def _require_runner(session: AsyncSession, actor: Actor, run: RunView, what: str, action: str) -> None:
    """Forbidden unless the run is the actor's, or they are an admin of its team; that is written down."""
    found, project = await require_task(session, actor, run.task_id)
    await require_runner(session, actor, project, run.user_id, what)
    if run.user_id != actor.id:
        identifier = f"{project.key}-{found.number}"
        audit.record(session, actor, action, identifier, team_id=project.team_id, title=found.title)


def _in_batch(run: RunView) -> str:
    """How a task of a batch ended, in the batch's words."""
    if run.status == "failed":
        return "skipped" if run.error_kind in SKIPPED else "failed"
    return "completed" if run.status == "done" else run.status


def _prompt(card: TaskView) -> str:
    parts = [card.title, card.description]
    if card.labels:
        parts.append("Labels: " + ", ".join(label.name for label in card.labels))
    return "\n\n".join(part for part in parts if part)
