"""What webhooks are told: written down in the transaction in which it happens. Unscoped, for the engine.

Ids and what a card shows in its list; no prompt, log, diff or secret.
"""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid5

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from engine.batches.client import BatchView
from engine.client import RunView
from openlinear.models import Project, Task, Webhook, WebhookDelivery
from openlinear.models.columns import now

RUN = {"done": "run.completed", "failed": "run.failed", "cancelled": "run.cancelled"}
BATCH = {"completed": "batch.completed", "failed": "batch.failed", "cancelled": "batch.cancelled"}
EVENTS = (*RUN.values(), *BATCH.values())
TEST = "webhook.test"


async def run_ended(session: AsyncSession, run: RunView, task: Task) -> None:
    """A run has come to its end. Telling it twice changes nothing."""
    kind = RUN.get(run.status)
    project = await session.get(Project, run.project_id)
    if kind is None or project is None:
        return
    data = {
        "runId": str(run.id),
        "taskId": str(run.task_id),
        "identifier": f"{project.key}-{task.number}",
        "title": task.title,
        "batchId": str(run.batch_id) if run.batch_id else None,
        **_of_project(project),
        **_result(run),
    }
    await _write(session, project, kind, run, data)


async def batch_ended(session: AsyncSession, batch: BatchView, what: str) -> None:
    """The same for a batch, when `what` is an end."""
    kind = BATCH.get(what)
    project = await session.get(Project, batch.project_id) if kind else None
    if kind is None or project is None:
        return
    tasks = [
        {
            "taskId": str(one.task_id),
            "runId": str(one.run_id),
            "identifier": one.reference,
            "title": one.title,
            "status": one.status,
            "reason": one.reason,
        }
        for one in batch.tasks
    ]
    data = {"batchId": str(batch.id), **_of_project(project), **_result(batch), "tasks": tasks}
    await _write(session, project, kind, batch, data)


def body(kind: str, at: datetime, data: dict[str, Any]) -> str:
    """What is sent, in the shape that the Standard Webhooks specification proposes."""
    content = {"type": kind, "timestamp": at.astimezone(UTC).isoformat(), "data": data}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _of_project(project: Project) -> dict[str, Any]:
    return {"projectId": str(project.id), "teamId": str(project.team_id) if project.team_id else None}


def _result(ended: RunView | BatchView) -> dict[str, Any]:
    return {
        "status": ended.status,
        "outcome": ended.outcome if isinstance(ended, RunView) else None,
        "prUrl": ended.pr_url,
        "prNumber": ended.pr_number,
        "branchName": ended.branch if ended.pushed else None,
        "error": ended.error,
    }


async def _write(
    session: AsyncSession, project: Project, kind: str, ended: RunView | BatchView, data: dict[str, Any]
) -> None:
    """One delivery for each webhook of the project's team, or of its owner, that wants this kind."""
    whose = (
        col(Webhook.team_id) == project.team_id
        if project.team_id is not None
        else col(Webhook.user_id) == project.user_id
    )
    wanted = col(Webhook.enabled) & col(Webhook.events).contains([kind])
    hooks = list(await session.scalars(select(col(Webhook.id)).where(whose, wanted)))
    if not hooks:
        return
    text, moment = body(kind, ended.ended_at or now(), data), now()
    rows = [
        WebhookDelivery(
            id=uuid5(hook, f"{kind} {ended.id}"), webhook_id=hook, type=kind, body=text, due_at=moment
        ).model_dump()
        for hook in hooks
    ]
    await session.execute(insert(WebhookDelivery).values(rows).on_conflict_do_nothing())
