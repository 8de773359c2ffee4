"""Webhooks out: what ends is told, signed, again where it was not taken, and never twice as two."""

import asyncio
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select, update
from sqlmodel import col

from engine.models import Batch, Run
from openlinear import db
from openlinear.models import Webhook, WebhookDelivery
from openlinear.models.columns import now
from openlinear.outside import receiver as outside
from openlinear.outside.receiver import Answer
from openlinear.services import (
    batch_news,
    batches,
    execution,
    providers,
    tasks,
    webhook_sending,
    webhooks,
)
from openlinear.services.views import Actor, ProjectView
from openlinear.services.webhooks import WebhookPatch
from tests.support.receiver import Receiver, due, end, hook_to, log, sending, started, until, verified

pytestmark = pytest.mark.usefixtures("receivable")


async def test_an_end_is_told_signed(ada: Actor, project: ProjectView, receiver: Receiver) -> None:
    made = await hook_to(ada, receiver.url + "/in?key=1", events=["run.completed", "run.failed"])
    card, run_id = await started(ada, project)
    async with sending():
        await end(run_id, outcome="pull_request", pr_url="https://github.com/acme/cart/pull/7", pr_number=7)
        ((headers, body),) = await receiver.wait(1)
        one = await until(ada, made, "delivered", attempts=1, response_code=200)
    told = verified(made.secret, headers, body)
    assert headers["webhook-id"] == f"msg_{one.id.hex}"
    assert headers["host"] == receiver.url.removeprefix("http://")
    assert told["type"] == "run.completed"
    assert abs(datetime.fromisoformat(str(told["timestamp"])) - datetime.now(UTC)) < timedelta(minutes=1)
    assert told["data"] == {
        "runId": str(run_id),
        "taskId": str(card.id),
        "identifier": card.identifier,
        "title": "Fix it",
        "batchId": None,
        "projectId": str(project.id),
        "teamId": None,
        "status": "done",
        "outcome": "pull_request",
        "prUrl": "https://github.com/acme/cart/pull/7",
        "prNumber": 7,
        "branchName": f"openlinear/{card.id}",
        "error": None,
    }


async def test_what_is_not_taken_is_sent_again_by_the_same_id(
    ada: Actor, project: ProjectView, receiver: Receiver
) -> None:
    made = await hook_to(ada, receiver.url)
    _, run_id = await started(ada, project)
    receiver.answers = [500, 302]
    async with sending():
        await end(run_id, "failed", error="The tests do not pass.")
        await receiver.wait(1)
        one = await until(ada, made, "pending", attempts=1, response_code=500)
        assert one.error == "Answered 500." and one.next_attempt_at and one.attempted_at
        assert timedelta(seconds=4) < one.next_attempt_at - one.attempted_at < timedelta(seconds=7)
        await due(made)
        await receiver.wait(2)
        one = await until(ada, made, "pending", attempts=2, response_code=302)
        assert "redirect" in one.error
        await due(made)
        await receiver.wait(3)
        one = await until(ada, made, "delivered", attempts=3, error="")
    assert {headers["webhook-id"] for headers, _ in receiver.heard} == {f"msg_{one.id.hex}"}
    assert len({body for _, body in receiver.heard}) == 1
    for headers, body in receiver.heard:
        assert verified(made.secret, headers, body)["type"] == "run.failed"
    assert all(headers["host"] in receiver.url for headers, _ in receiver.heard)


async def test_nobody_there_and_no_answer_are_said_in_words(
    ada: Actor, project: ProjectView, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outside, "SECONDS", 0.5)
    made = await hook_to(ada, "http://127.0.0.1:1/")
    _, run_id = await started(ada, project)
    async with sending():
        await end(run_id, "cancelled")
        one = await until(ada, made, "pending", attempts=1, error="It does not take connections.")
        assert one.type == "run.cancelled" and one.response_code is None
        async with db.transaction() as session:
            await webhooks.update_webhook(session, ada, made.webhook.id, WebhookPatch(url=receiver.url))
        receiver.answers = [0]
        await due(made)
        await until(ada, made, "pending", attempts=2, error="No answer within 0 seconds.")


async def test_after_the_last_attempt_it_has_failed_until_somebody_sends_it_again(
    ada: Actor, project: ProjectView, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_sending, "WAITS", (timedelta(0),) * 2)
    made = await hook_to(ada, receiver.url)
    _, run_id = await started(ada, project)
    receiver.answers = [500] * 3
    async with sending():
        await end(run_id)
        one = await until(ada, made, "failed", attempts=3)
        async with db.transaction() as session:
            await webhooks.send_again(session, ada, made.webhook.id, one.id)
        await until(ada, made, "delivered", attempts=4)


async def test_what_is_gone_or_fails_for_days_is_disabled_and_says_why(
    ada: Actor, project: ProjectView, receiver: Receiver
) -> None:
    made, other = await hook_to(ada, receiver.url), await hook_to(ada, "http://127.0.0.1:1/")
    async with db.transaction() as session:
        long = now() - webhook_sending.GIVEN_UP - timedelta(minutes=1)
        mine = col(Webhook.id) == other.webhook.id
        await session.execute(update(Webhook).where(mine).values(failing_since=long))
    _, run_id = await started(ada, project)
    receiver.answers = [410]
    async with sending():
        await end(run_id)
        await until(ada, made, "failed", response_code=410)
        await until(ada, other, "pending", attempts=1, error="It does not take connections.")
        await due(other)
        await asyncio.sleep(0.3)
        assert (await log(ada, other))[0].attempts == 1
        async with db.transaction() as session:
            gone, silent = await webhooks.list_webhooks(session, ada)
        assert not gone.enabled and "410" in gone.disabled_reason
        assert not silent.enabled and "5 days" in silent.disabled_reason
        patch = WebhookPatch(url=receiver.url, enabled=True)
        async with db.transaction() as session:
            again = await webhooks.update_webhook(session, ada, other.webhook.id, patch)
        assert again.enabled and not again.disabled_reason and again.failing_since is None
        await until(ada, other, "delivered")


async def test_an_end_that_is_rolled_back_is_not_told_and_one_told_twice_is_one(
    ada: Actor, project: ProjectView, receiver: Receiver
) -> None:
    made = await hook_to(ada, receiver.url)
    _, run_id = await started(ada, project)
    with pytest.raises(RuntimeError, match="the worker dies"):
        async with db.transaction() as session:
            await session.execute(update(Run).where(col(Run.id) == run_id).values(status="done"))
            await execution.ended(session, run_id)
            assert len(list(await session.scalars(select(WebhookDelivery)))) == 1
            raise RuntimeError("the worker dies")
    assert await log(ada, made) == []
    await end(run_id)
    await end(run_id)
    assert len(await log(ada, made)) == 1


async def test_a_batch_s_end_is_told_with_its_tasks(
    ada: Actor, project: ProjectView, receiver: Receiver
) -> None:
    made = await hook_to(ada, receiver.url, events=["batch.failed"])
    async with db.transaction() as session:
        await providers.connect(session, ada, "anthropic", "sk-test-1")
        card = await tasks.create_task(session, ada, tasks.TaskInput(project.id, "Fix it", "secret prompt"))
        batch = await batches.create(session, ada, batches.BatchInput([card.id], "queue"))
        await session.execute(update(Batch).values(status="failed", ended_at=now(), error="It clashes."))
        for what in ("updated", "failed"):
            await batch_news.tell(session, batch.id, what)
    async with sending():
        ((headers, body),) = await receiver.wait(1)
    told = verified(made.secret, headers, body)
    assert told["type"] == "batch.failed" and "secret prompt" not in body
    data = told["data"]
    assert isinstance(data, dict)
    assert (data["batchId"], data["status"], data["error"]) == (str(batch.id), "failed", "It clashes.")
    assert [one["identifier"] for one in data["tasks"]] == [card.identifier]


DIES = """
import asyncio
from openlinear import deliveries
deliveries.EVERY = 0.02
asyncio.run(deliveries.deliver())
"""


async def test_a_web_process_that_is_killed_while_it_sends_loses_nothing(
    ada: Actor, project: ProjectView, receiver: Receiver
) -> None:
    made = await hook_to(ada, receiver.url)
    _, run_id = await started(ada, project)
    receiver.answers = [0]
    await end(run_id)
    dies = await asyncio.create_subprocess_exec(sys.executable, "-c", DIES)
    try:
        await receiver.wait(1)
    finally:
        dies.kill()
        await dies.wait()
    async with sending():
        await asyncio.sleep(0.3)
        one = await until(ada, made, "pending", attempts=1)
        assert one.next_attempt_at is not None and one.next_attempt_at > now() + timedelta(seconds=20)
        await due(made)  # its lease ends
        await receiver.wait(2)
        await until(ada, made, "delivered", attempts=2)
    assert len({headers["webhook-id"] for headers, _ in receiver.heard}) == 1


async def test_who_lost_a_delivery_to_another_writes_nothing(
    ada: Actor, project: ProjectView, receiver: Receiver
) -> None:
    made = await hook_to(ada, receiver.url)
    _, run_id = await started(ada, project)
    await end(run_id)
    async with db.transaction() as session:
        (slow,) = await webhook_sending.take(session, 5)
        async with db.transaction() as beside:
            assert await webhook_sending.take(beside, 5) == []
    async with db.transaction() as session:
        assert await webhook_sending.take(session, 5) == []
    await due(made)
    async with db.transaction() as session:
        (quick,) = await webhook_sending.take(session, 5)
    async with db.transaction() as session:
        await webhook_sending.settle(session, slow, Answer(500, "Answered 500."))
        await webhook_sending.settle(session, quick, Answer(200))
        await webhook_sending.settle(session, quick, Answer(500, "Answered 500."))
    (one,) = await log(ada, made)
    assert (one.status, one.attempts, one.response_code) == ("delivered", 2, 200)


async def test_one_that_hangs_does_not_take_all_places(ada: Actor, project: ProjectView) -> None:
    busy, other = await hook_to(ada, "http://127.0.0.1:1/"), await hook_to(ada, "http://127.0.0.1:2/")
    most = webhook_sending.PER_WEBHOOK
    whose = [busy.webhook.id] * 3 * most + [other.webhook.id]
    rows = [WebhookDelivery(id=uuid4(), webhook_id=one, type="run.failed", body="{}") for one in whose]
    async with db.transaction() as session:
        session.add_all(rows)
    hung = await taken(20)
    assert Counter(one.webhook_id for one in hung) == {busy.webhook.id: most, other.webhook.id: 1}
    assert await taken(20) == []  # while those are under way
    (first, *_) = (one for one in hung if one.webhook_id == busy.webhook.id)
    async with db.transaction() as session:
        await webhook_sending.settle(session, first, Answer(500, "Answered 500."))
    (following,) = await taken(20)
    assert following.webhook_id == busy.webhook.id and following.id != first.id


async def test_what_waits_for_longest_is_sent_first(ada: Actor, project: ProjectView) -> None:
    hooks = [(await hook_to(ada, f"http://127.0.0.1:{port}/")).webhook.id for port in range(1, 6)]
    rows = [
        WebhookDelivery(
            id=uuid4(), webhook_id=one, type="run.failed", body="{}", due_at=now() - timedelta(minutes=ago)
        )
        for one, ago in zip(hooks, (3, 5, 1, 4, 2), strict=True)
    ]
    async with db.transaction() as session:
        session.add_all(rows)
    order = [(await taken(1))[0].webhook_id for _ in rows]
    assert order == [hooks[place] for place in (1, 3, 0, 4, 2)]


async def taken(most: int) -> list[webhook_sending.Message]:
    async with db.transaction() as session:
        return await webhook_sending.take(session, most)
