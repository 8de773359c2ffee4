"""What a project can hold, written as people and a worker would: tasks, runs, batches, kept work."""

from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

from sqlmodel.ext.asyncio.session import AsyncSession

from engine.batches.client import NewBatch
from engine.models import Ask, Batch, KeptWork, Run, RunDiff, RunEvent, now
from engine.storage import BUNDLE, FILES
from openlinear import db
from openlinear.engine_client import batches_client
from openlinear.models import InboxItem, WebhookDelivery
from openlinear.services import projects, tasks, webhooks
from openlinear.services.views import Actor, TaskView
from tests.support.engine import new_run

SEALED = "canary.sealed."
"""In every secret: nobody is ever shown one."""


def canary(scope: str) -> str:
    """What is in every text of this scope, and in no other's."""
    return f"canary.{scope}."


async def make_project(actor: Actor, scope: str, team_id: UUID | None = None) -> UUID:
    """A project whose remote answered, with a credential."""
    wanted = projects.ProjectInput(
        f"Project {canary(scope)}",
        f"https://example.com/{canary(scope)}/cart.git",
        description=canary(scope),
        remote_password=SEALED,
        checks=[f"test {canary(scope)}"],
        team_id=team_id,
    )
    return (await projects.create_project(actor, wanted)).id


async def fill(actor: Actor, project_id: UUID, scope: str, kept: str, home: Path) -> dict[str, str]:
    """Tasks of this project and what the actor executes of them. The ids, by name.

    `task_id` runs and asks, `idle_task` failed and left work, `batch_task` is in the open `batch_id`, and
    `retry_task` in the `ended_batch`.
    """
    names = ("task_id", "idle_task", "batch_task", "retry_task")
    async with db.transaction() as session:
        cards = {name: await _card(session, actor, project_id, scope) for name in names}
        ids = {name: card.id for name, card in cards.items()}
        await tasks.update_task(session, actor, ids["retry_task"], {"status": "done"})
        asking = _run(actor, cards["task_id"], scope, status="waiting")
        failed = _run(actor, cards["idle_task"], scope, **_ended(scope))
        session.add_all([asking, failed])
        await session.flush()
        for run in (asking, failed):
            session.add(RunDiff(run_id=run.id, patch=canary(scope), files=[]))
            session.add(RunEvent(run_id=run.id, seq=1, kind="text", part="a", message=canary(scope)))
            run.last_seq = 1
        ask = Ask(run_id=asking.id, part="ask", kind="permission", text=canary(scope))
        session.add(ask)
        batches = {
            "batch_id": await _batch(session, actor, cards["batch_task"], scope, status="waiting"),
            "ended_batch": await _batch(session, actor, cards["retry_task"], scope, **_ended(scope)),
        }
        _keep(session, actor, failed, kept, home)
        item = InboxItem(user_id=actor.id, project_id=project_id, task_id=ids["idle_task"], run_id=failed.id)
        item.status, item.message = "failed", canary(kept)
        session.add(item)
    made = {
        **ids,
        **batches,
        "ask_id": ask.id,
        "run_id": asking.id,
        "kept_run": failed.id,
        "inbox_id": item.id,
    }
    return {name: str(ident) for name, ident in made.items()}


async def hooked(actor: Actor, scope: str, team_id: UUID | None = None) -> dict[str, str]:
    """A webhook, and a message that it did not take."""
    async with db.transaction() as session:
        url = f"https://example.com/{canary(scope)}"
        made = await webhooks.create_webhook(session, actor, url, team_id=team_id)
        delivery = WebhookDelivery(
            id=uuid4(), webhook_id=made.webhook.id, type="webhook.test", body=canary(scope), status="failed"
        )
        delivery.error = canary(scope)
        session.add(delivery)
    return {"webhook_id": str(made.webhook.id), "delivery_id": str(delivery.id)}


async def _card(session: AsyncSession, actor: Actor, project_id: UUID, scope: str) -> TaskView:
    wanted = tasks.TaskInput(
        project_id, f"Task {canary(scope)}", description=canary(scope), labels=[canary(scope)]
    )
    return await tasks.create_task(session, actor, wanted)


def _run(actor: Actor, card: TaskView, scope: str, **columns: object) -> Run:
    """One that no worker has claimed."""
    values = {
        "task_id": card.id,
        "project_id": card.project_id,
        "user_id": actor.id,
        "reference": card.identifier,
        "title": card.title,
        "prompt": canary(scope),
        "author_name": actor.name,
        "author_email": actor.email,
        "base_branch": "main",
        "branch": f"openlinear/{canary(scope)}",
        "message": canary(scope),
        "clashes": [{"taskId": str(card.id), "reference": canary(scope), "files": [canary(scope)]}],
        **columns,
    }
    return Run(**values)


def _ended(scope: str) -> dict[str, object]:
    over = {"ended_at": now(), "error": canary(scope), "error_kind": "agent"}
    return {"status": "failed", **over}


async def _batch(session: AsyncSession, actor: Actor, card: TaskView, scope: str, **columns: object) -> UUID:
    """A batch of this one task, and its run, in that state."""
    run = new_run(actor.id, task_id=card.id, project_id=card.project_id, title=card.title)
    new = NewBatch(card.project_id, actor.id, "queue", "main", actor.name, actor.email, (run,))
    batch_id = await batches_client().start(session, new)
    batch = await session.get_one(Batch, batch_id)
    batch.message = canary(scope)
    whole = [batch]
    if "ended_at" in columns:
        whole += await session.run_sync(lambda sync: sync.query(Run).filter_by(batch_id=batch_id).all())
    for row in whole:
        for name, value in columns.items():
            setattr(row, name, value)
    await session.flush()
    return batch_id


def _keep(session: AsyncSession, actor: Actor, run: Run, scope: str, home: Path) -> None:
    place = home / "kept" / str(run.id)
    place.mkdir(parents=True)
    for name in (BUNDLE, FILES):
        (place / name).write_text(canary(scope))
    session.add(
        KeptWork(
            run_id=run.id,
            task_id=run.task_id,
            project_id=run.project_id,
            user_id=actor.id,
            title=run.title,
            base_sha="1" * 40,
            expires_at=now() + timedelta(days=30),
            bundle_bytes=8,
            files_bytes=8,
            left_out=[{"name": f"files/{canary(scope)}", "bytes": 1, "why": "over the limit"}],
        )
    )
