"""Whose turn it is, on the real database: batches beside each other and beside single runs."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from engine.admission import AlreadyRunning
from engine.batches import client
from engine.batches.advance import Batches
from engine.batches.client import BatchView, NewBatch
from engine.client import Engine
from engine.containers import Containers
from engine.db import Database
from engine.enqueue import Enqueuer
from engine.models import Member, Run, now
from engine.ports import Brief, Forge
from engine.settings import EngineSettings
from engine.signals import Signals
from engine.world import World
from tests.support.engine import new_run

LIMIT = 3


class Product:
    """Every user has the same limit; what is told is kept."""

    def __init__(self) -> None:
        self.limit = LIMIT
        self.told: list[str] = []

    async def slots(self, session: Any, user_id: UUID) -> int:
        return self.limit

    async def begins(self, session: Any, run_id: UUID) -> Brief:
        return Brief("As it is now", "Do what it says now")

    async def batch(self, session: Any, batch_id: UUID, news: str, task_id: UUID | None = None) -> None:
        self.told.append(news)

    async def ended(self, session: Any, run_id: UUID) -> None: ...


class Floor:
    """Batches, and nobody who carries out their runs."""

    def __init__(self, here: World, engine: Engine, product: Product) -> None:
        self.here = here
        self.engine = engine
        self.product = product
        self.batches = client.Batches()

    async def press(self, user: UUID, count: int, **rules: Any) -> UUID:
        new = NewBatch(
            uuid4(), user, rules.pop("mode", "parallel"), "main", "Ada", "ada@example.org",
            tuple(new_run(user, reference=f"A-{number}") for number in range(count)), **rules
        )  # fmt: skip
        async with self.here.database.transaction() as session:
            return await self.batches.start(session, new)

    async def look(self) -> None:
        await Batches(self.here).look()

    async def view(self, batch: UUID) -> BatchView:
        async with self.here.database.transaction() as session:
            found = await self.batches.batch(session, batch)
        assert found is not None
        return found

    async def statuses(self, batch: UUID) -> Counter[str]:
        return Counter(task.status for task in (await self.view(batch)).tasks)

    async def hand_in(self, run_id: UUID) -> None:
        async with self.here.database.transaction() as session:
            (await session.get_one(Run, run_id)).takes_slot = False
            (await session.get_one(Member, run_id)).handed_in_at = now()

    async def queue(self) -> dict[str, int]:
        """What waits for a worker, with its priority: the lowest goes first, then the oldest."""
        query = text("SELECT workflow_uuid, priority FROM dbos.workflow_status WHERE status = 'ENQUEUED'")
        async with self.here.database.transaction() as session:
            return {row[0]: row[1] for row in await session.execute(query)}


@pytest.fixture
async def floor(
    database: str, engine_database: Database, engine_client: Engine, tmp_path: Path
) -> AsyncIterator[Floor]:
    settings = EngineSettings(database_url=database, openlinear_home=tmp_path)
    product, enqueuer = Product(), Enqueuer(settings)
    here = World(
        settings=settings,
        database=engine_database,
        signals=Signals(engine_database.libpq_url),
        sandbox=cast(Any, None),
        containers=cast(Containers, None),
        agents={},
        forge=cast(Forge, None),
        product=cast(Any, product),
        enqueuer=enqueuer,
        worker="tests",
    )
    yield Floor(here, engine_client, product)
    await enqueuer.close()


async def test_no_more_than_the_limit_runs_whoever_looks_and_however_often(floor: Floor) -> None:
    user = uuid4()
    batches = [await floor.press(user, 8) for _ in range(2)]
    for _ in range(5):
        await asyncio.gather(*(floor.look() for _ in range(16)))
        seen = [await floor.statuses(batch) for batch in batches]
        assert seen == [Counter(running=LIMIT, queued=8 - LIMIT), Counter(queued=8)]
    first = (await floor.view(batches[0])).tasks
    await floor.hand_in(first[1].run_id)
    await floor.look()
    assert await floor.statuses(batches[0]) == Counter(running=LIMIT, completed=1, queued=4)
    assert floor.product.told.count("started") == 1


async def test_one_users_fifty_do_not_go_before_anothers_one(floor: Floor) -> None:
    floor.product.limit = 50
    crowd, single = uuid4(), uuid4()
    await floor.press(crowd, 50)
    await floor.look()
    async with floor.here.database.transaction() as session:
        run = await floor.engine.start(session, new_run(single), 3)
    waiting = await floor.queue()
    assert len(waiting) == 51
    assert sorted(waiting.values()) == [1, *range(1, 51)]
    assert waiting[str(run)] == 1, "it goes with the first of the fifty"


async def test_a_task_that_runs_makes_no_second_batch_not_even_at_the_same_moment(floor: Floor) -> None:
    user = uuid4()
    runs = (new_run(user), new_run(user))

    async def press() -> bool:
        new = NewBatch(uuid4(), user, "parallel", "main", "Ada", "ada@example.org", runs)
        try:
            async with floor.here.database.transaction() as session:
                await floor.batches.start(session, new)
        except AlreadyRunning:
            return False
        return True

    assert sorted(await asyncio.gather(*(press() for _ in range(16)))) == [False] * 15 + [True]


async def test_a_queue_waits_for_a_word_and_says_so_once(floor: Floor) -> None:
    batch = await floor.press(uuid4(), 3, mode="queue")
    await floor.look()
    (first, *_), waits = (await floor.view(batch)).tasks, 2
    assert await floor.statuses(batch) == Counter(running=1, queued=waits)
    await floor.hand_in(first.run_id)
    for _ in range(3):
        await floor.look()
    seen = await floor.view(batch)
    assert (seen.status, [task.awaits_approval for task in seen.tasks]) == ("waiting", [True, False, False])
    assert floor.product.told.count("waiting") == 1
    async with floor.here.database.transaction() as session:
        assert await floor.batches.approve(session, batch)
        assert not await floor.batches.approve(session, batch)
    await floor.look()
    assert await floor.statuses(batch) == Counter(completed=1, running=1, queued=1)


async def test_what_a_task_says_when_it_begins_is_what_its_agent_is_told(floor: Floor) -> None:
    batch = await floor.press(uuid4(), 1)
    await floor.look()
    [task] = (await floor.view(batch)).tasks
    assert task.title == "As it is now"


async def test_a_cancelled_batch_ends_once_its_runs_have(floor: Floor) -> None:
    batch = await floor.press(uuid4(), 5)
    await floor.look()
    async with floor.here.database.transaction() as session:
        assert await floor.batches.cancel(session, batch)
        assert await floor.batches.cancel(session, batch), "asking twice changes nothing"
    await floor.look()
    assert (await floor.view(batch)).cancelling
    async with floor.here.database.transaction() as session:
        over = "UPDATE runs SET status = 'cancelled', ended_at = now() WHERE batch_id = :batch"
        await session.execute(text(over), {"batch": batch})
    await floor.look()
    assert (await floor.view(batch)).status == "cancelled"
    async with floor.here.database.transaction() as session:
        assert not await floor.batches.cancel(session, batch)
