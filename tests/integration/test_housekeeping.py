"""What is cleared up, and what is kept."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import delete, select, update
from sqlmodel import col

from engine.models import Run, RunEvent
from openlinear import db
from openlinear.api.app import lifespan
from openlinear.models import Attempt, AuthSession, Change, Task
from openlinear.models.columns import now
from openlinear.services import accounts, demo, execution, housekeeping, news, tasks, throttle
from openlinear.services.views import Actor
from tests.support.product import PASSWORD, MakeActor, Workerless

pytestmark = pytest.mark.usefixtures("product")


async def test_old_news_ended_logins_and_old_tries_go(ada: Actor, make_actor: MakeActor) -> None:
    bo, cy = await make_actor("Bo"), await make_actor("Cy")
    async with db.transaction() as session:
        await accounts.logout(session, bo)
        (await session.get_one(AuthSession, cy.session_id)).expires_at = now() - timedelta(seconds=1)
        await session.execute(update(Attempt).values(tried_at=now() - 2 * throttle.WINDOW))
    await throttle.admit("login as", "ada", 3)
    async with db.transaction() as session:
        await session.execute(update(Change).values(changed_at=now() - timedelta(days=8)))
        await news.tell(session, "task:updated", ada.id)
    async with lifespan():  # a web process comes up
        async with asyncio.timeout(5):
            while await kept(AuthSession) > 1:
                await asyncio.sleep(0.01)
    assert (await kept(AuthSession), await kept(Change), await kept(Attempt)) == (1, 1, 1)
    async with db.transaction() as session:
        assert not await accounts.over(session, [ada.session_id])
        assert await accounts.over(session, [bo.session_id, cy.session_id]) == {bo.session_id, cy.session_id}
        await accounts.login(session, ada.email, PASSWORD, address="test")


async def test_one_process_at_a_time_clears_up_and_nobody_waits(ada: Actor) -> None:
    async with db.transaction() as session:
        await session.execute(update(Attempt).values(tried_at=now() - 2 * throttle.WINDOW))
    async with db.transaction() as first:
        await housekeeping.sweep(first)
        async with asyncio.timeout(5), db.transaction() as second:
            await housekeeping.sweep(second)
            assert len(list(await second.scalars(select(col(Attempt.id))))) == 1
    assert await kept(Attempt) == 0


async def test_runs_of_deleted_tasks_go_once_they_have_ended(product: Workerless, ada: Actor) -> None:
    async with db.transaction() as session:
        _, cards = await demo.create_demo(session, ada)
        ended, gone, running = [await execution.execute(session, ada, card.id) for card in cards]
        await session.execute(update(Run).where(col(Run.id).in_([ended, gone])).values(ended_at=now()))
        session.add(RunEvent(run_id=gone, seq=1, kind="text", part="t"))
        await tasks.delete_task(session, ada, cards[1].id)
    async with db.transaction() as session:
        await session.execute(delete(Task).where(col(Task.id) == cards[2].id))  # its run still has to end
        await housekeeping.sweep(session)
        assert set(await session.scalars(select(col(Run.id)))) == {ended, running}
        assert not await product.log(session, gone)


async def kept(table: type[AuthSession] | type[Change] | type[Attempt]) -> int:
    async with db.transaction() as session:
        return len(list(await session.scalars(select(table))))
