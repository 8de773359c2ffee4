"""Writing into inboxes: in the transaction in which work ends, or begins or ceases to wait for its person.

Unscoped: for the engine, and for who has checked. Rows first, `tell` after: numbering news locks.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import delete
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from engine.batches.client import BatchView
from engine.client import RunView
from openlinear.engine_client import engine_client
from openlinear.models import InboxItem
from openlinear.models.columns import now
from openlinear.services import news

SAID = 500
"""Characters of what an agent asks or a run failed of."""
OF_A_BATCH = ("waiting", "completed", "failed")


async def run_ended(session: AsyncSession, run: RunView) -> bool:
    """Whether that changed its person's inbox. A batch tells of its tasks' ends itself, and
    who cancels knows.
    """
    if run.batch_id is None and run.status in ("done", "failed"):
        await _put(session, run, run.status, _came_to(run), task_id=run.task_id, run_id=run.id)
        return True
    return await _gone(session, run_id=run.id)


async def run_waits(session: AsyncSession, run: RunView) -> bool:
    """The same for what a run waits for, or no longer."""
    asks = await engine_client().asks(session, [run.id])
    if not asks:
        return await _gone(session, run_id=run.id, status="waiting")
    await _put(session, run, "waiting", asks[-1].text, task_id=run.task_id, run_id=run.id)
    return True


async def batch_changed(session: AsyncSession, batch: BatchView, what: str) -> bool:
    """The same for a batch, of which `what` is told (see `batch_news.tell`)."""
    if what in OF_A_BATCH:
        title = f"Batch of {len(batch.tasks)} tasks" if len(batch.tasks) != 1 else "Batch of one task"
        await _put(session, batch, what, _outcome(batch), title=title, batch_id=batch.id)
        return True
    if what.startswith("task:") or batch.status == "waiting":
        return False
    return await _gone(session, batch_id=batch.id, status="waiting")


async def tell(session: AsyncSession, user_id: UUID) -> None:
    """This person's inbox changed."""
    await news.tell(session, "inbox:updated", user_id)


async def _put(
    session: AsyncSession, of: RunView | BatchView, status: str, message: str, **named: Any
) -> None:
    """The one row of this run or batch says so, unread."""
    fresh: dict[str, Any] = {"status": status, "message": message[:SAID], "at": now(), "read_at": None}
    row = InboxItem(user_id=of.user_id, project_id=of.project_id, **named, **fresh)
    statement = insert(InboxItem).values(row.model_dump())
    source = "run_id" if row.run_id else "batch_id"
    await session.execute(statement.on_conflict_do_update(index_elements=[source], set_=fresh))


async def _gone(session: AsyncSession, **which: UUID | str) -> bool:
    """Take the row away; whether there was one."""
    found = delete(InboxItem).filter_by(**which).returning(col(InboxItem.id))
    return (await session.execute(found)).first() is not None


def _came_to(run: RunView) -> str:
    if run.status == "failed":
        return run.error or "Failed"
    if run.outcome == "no_changes":
        return "The agent made no changes"
    return f"Pull request #{run.pr_number}" if run.pr_number else f"Pushed to {run.branch}"


def _outcome(batch: BatchView) -> str:
    if batch.status == "waiting":
        return batch.message
    if batch.status == "failed":
        return batch.error or "Failed"
    merged = sum(task.status == "completed" for task in batch.tasks)
    said = f"{merged} of {len(batch.tasks)} tasks merged"
    return f"{said}, pull request #{batch.pr_number}" if batch.pr_number else said
