"""News of everything, in the order it was committed: the product's changes and the engine's events."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from engine.client import EventView, RunView
from openlinear.engine_client import engine_client
from openlinear.models import Change, Member, Project
from openlinear.services.access import members_of, visible_projects
from openlinear.services.access import viewers as viewers_of
from openlinear.services.views import Actor

ENDED = ("done", "failed", "cancelled")
END = "ended"
"""The part of the one event that ends a run: what is said of it afterwards has another."""


@dataclass(frozen=True, slots=True)
class News:
    """One thing that happened. `data` is what a program is told; `event` all of a run's event."""

    id: int
    kind: str
    """`task:*`, `project:*`, `execution:progress|log|completed`; `session:ended`, `team:left` and
    `inbox:updated`, which are the web processes' own."""
    project_id: UUID | None
    task_id: UUID | None
    user_id: UUID | None
    """Who did it, for a change, or who left; None for a run's event."""
    data: dict[str, Any]
    viewers: frozenset[UUID] = field(repr=False)
    """The users who may see it, as things stand now."""
    event: EventView | None = None


async def news(session: AsyncSession, after: int, limit: int = 500) -> list[News]:
    """What was committed after number `after`. Unscoped: for a process's one reader.

    `session` must be a `db.snapshot()`: two reads that see different moments would leave gaps. What is
    handed out has no gap but may end early: read on until nothing comes.
    """
    events = await engine_client().news(session, after, limit)
    changes = [] if _without_gap(events, after) else await _changes(session, col(Change.id) > after, limit)
    return await _merged(session, events, changes, limit)


async def missed(session: AsyncSession, actor: Actor, after: int, limit: int = 500) -> list[News]:
    """The same of this actor's projects and doings alone, for one who comes back.

    Some of it may be for others' eyes: `viewers` decides, as ever.
    """
    projects = list(await session.scalars(select(col(Project.id)).where(visible_projects(actor))))
    events = await engine_client().news_of(session, projects, after, limit)
    teams = select(col(Member.team_id)).where(col(Member.user_id) == actor.id)
    own = col(Change.project_id).in_(projects) | col(Change.team_id).in_(teams)
    own |= (col(Change.user_id) == actor.id) & col(Change.team_id).is_(None)
    changes = await _changes(session, (col(Change.id) > after) & own, limit)
    return await _merged(session, events, changes, limit)


async def _changes(session: AsyncSession, wanted: ColumnElement[bool], limit: int) -> list[Change]:
    query = select(Change).where(wanted).order_by(col(Change.id)).limit(limit)
    return list(await session.scalars(query))


async def _merged(
    session: AsyncSession, events: Sequence[EventView], changes: Sequence[Change], limit: int
) -> list[News]:
    """These events and changes in their order, with who may see each."""
    project_ids = {event.project_id for event in events} | {c.project_id for c in changes if c.project_id}
    seen_by = await viewers_of(session, project_ids)
    members = await members_of(session, {change.team_id for change in changes if change.team_id})
    runs = await _ended(session, events)
    found = [_of_event(event, seen_by, runs) for event in events]
    found += [_of_change(change, seen_by, members) for change in changes]
    # A list that was cut off says nothing of what follows its end: the merged one is cut there too.
    return sorted(found, key=lambda item: item.id)[:limit]


def _without_gap(events: Sequence[EventView], after: int) -> bool:
    """Whether these are all the news up to the last of them: one sequence numbers events and changes."""
    return bool(events) and events[-1].id - after == len(events)


async def latest_id(session: AsyncSession) -> int:
    """The number of the last news; 0 when there is none."""
    change = await session.scalar(select(func.max(col(Change.id)))) or 0
    return max(change, await engine_client().latest_news(session))


async def may_see(session: AsyncSession, actor: Actor, project_id: UUID) -> bool:
    query = select(col(Project.id)).where(col(Project.id) == project_id, visible_projects(actor))
    return await session.scalar(query) is not None


async def _ended(session: AsyncSession, events: Sequence[EventView]) -> dict[UUID, RunView]:
    """The runs that these events end, for what they came to."""
    over = {event.run_id for event in events if _status(event) in ENDED and event.part == END}
    runs = [await engine_client().run(session, run_id) for run_id in over]
    return {run.id: run for run in runs if run is not None}


def _status(event: EventView) -> str | None:
    return (event.details or {}).get("status") if event.kind == "status" else None


def _of_event(event: EventView, seen_by: dict[UUID, frozenset[UUID]], runs: dict[UUID, RunView]) -> News:
    kind, data = _told(event, runs.get(event.run_id) if event.part == END else None)
    return News(
        id=event.id,
        kind=kind,
        project_id=event.project_id,
        task_id=event.task_id,
        user_id=None,
        data={"taskId": str(event.task_id), "runId": str(event.run_id), "seq": event.seq, **data},
        viewers=seen_by.get(event.project_id, frozenset()),
        event=event,
    )


def _told(event: EventView, run: RunView | None) -> tuple[str, dict[str, Any]]:
    status = _status(event)
    if status in ENDED and run is not None:
        return "execution:completed", {
            "status": status,
            "prUrl": run.pr_url,
            "branchName": run.branch if run.pushed else None,
            "outcome": run.outcome or status,
            "error": run.error,
        }
    if status is None or status in ENDED:
        return "execution:log", {"level": event.level, "message": event.message}
    progress = (event.details or {}).get("progress", 0)
    return "execution:progress", {"status": status, "progress": progress, "message": event.message}


def _of_change(
    change: Change, seen_by: dict[UUID, frozenset[UUID]], members: dict[UUID, frozenset[UUID]]
) -> News:
    data = dict(change.data or {})
    if change.task_id is not None:
        data["taskId"] = str(change.task_id)
    if change.project_id is not None:
        data["projectId"] = str(change.project_id)
    # What belongs to no project that is still there is seen by those it belongs to.
    own = members.get(change.team_id, frozenset()) if change.team_id else frozenset((change.user_id,))
    return News(
        id=cast(int, change.id),
        kind=change.kind,
        project_id=change.project_id,
        task_id=change.task_id,
        user_id=change.user_id,
        data=data,
        viewers=seen_by.get(change.project_id, own) if change.project_id else own,
    )
