"""Telling what becomes of batches. Unscoped: for who has checked, and for the engine."""

from typing import Any
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear.engine_client import batches_client
from openlinear.services import inbox_entries, news, webhook_events


async def tell(session: AsyncSession, batch_id: UUID, what: str, task_id: UUID | None = None) -> None:
    """Something of a batch changed: everybody who may see it hears of that. The last act of a transaction.

    `what` is the batch's state, `updated`, or `task:` and what became of `task_id` in it.
    """
    found = await batches_client().batch(session, batch_id)
    if found is None:
        return
    data: dict[str, Any] = {"batchId": str(batch_id), "status": found.status}
    task = next((task for task in found.tasks if task.task_id == task_id), None)
    if task is not None:
        data |= {"status": task.status, "reason": task.reason}
    if what == "completed":
        data |= {"prUrl": found.pr_url, "branchName": found.branch if found.pushed else None}
    noted = await inbox_entries.batch_changed(session, found, what)
    await webhook_events.batch_ended(session, found, what)
    await news.tell(
        session, f"batch:{what}", found.user_id, project_id=found.project_id, task_id=task_id, data=data
    )
    if noted:
        await inbox_entries.tell(session, found.user_id)
