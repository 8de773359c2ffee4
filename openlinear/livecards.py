"""What a project's room is sent of cards, batches and log lines."""

import contextlib
from typing import Any
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear.components import batches as heads
from openlinear.components.cards import card_of, plain
from openlinear.services import batches, boards
from openlinear.services.errors import NotFound
from openlinear.services.feed import News
from openlinear.services.views import Actor, LogEntry

SHOWN = 20_000
"""Characters of a tool's input or output that a page shows."""


async def cards_of(
    session: AsyncSession, actor: Actor, project_id: UUID, changed: dict[UUID, News]
) -> dict[str, Any]:
    """What these cards are now, under their keys, and how many each column has: a browser that has not
    loaded a card cannot know which column it has left.
    """
    views = await boards.cards(session, actor, changed)
    values: dict[str, Any] = {}
    for task_id, item in changed.items():
        view = views.get(task_id)
        gone = {"project": str(project_id), "gone": True}
        card = gone if view is None or view.archived else plain(card_of(view))
        values[f"c:{task_id}"] = {"n": item.id, **card}
    with contextlib.suppress(NotFound):
        counts = await boards.counts(session, actor, project_id)
        values["counts"] = {"n": max(i.id for i in changed.values()), "project": str(project_id), **counts}
    return values


async def batches_of(
    session: AsyncSession, actor: Actor, project_id: UUID, moved: dict[UUID, News]
) -> dict[str, Any]:
    """A line for each batch that moved; an open panel reads the rest, where its own is older."""
    found = await batches.some(session, actor, moved)
    return {
        f"b:{batch.id}": {"n": moved[batch.id].id, **heads.plain(heads.head_of(batch))}
        for batch in found
        if batch.project_id == project_id
    }


def entry_of(run_id: UUID, entry: LogEntry | Any) -> dict[str, Any]:
    """A log line as the browser keeps it. `time` is in milliseconds."""
    return {
        "run": str(run_id),
        "seq": entry.seq,
        "time": int(entry.time.timestamp() * 1000),
        "level": entry.level,
        "kind": entry.kind,
        "part": entry.part,
        "state": entry.state,
        "message": entry.message,
        "details": _shown(entry.details),
    }


def _shown(value: Any) -> Any:
    """Details as far as a page shows them: a tool's output can be megabytes. The API has all of it."""
    if isinstance(value, str) and len(value) > SHOWN:
        return value[:SHOWN] + f"\n… {len(value) - SHOWN} more characters"
    if isinstance(value, dict):
        return {key: _shown(item) for key, item in value.items()}
    return value
