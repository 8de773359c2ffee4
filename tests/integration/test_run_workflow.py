"""Every run has an end: the workflow on the real DBOS and PostgreSQL, fakes at the ports."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, cast
from uuid import UUID, uuid4

import psycopg
import pytest
from dbos import DBOS
from sqlalchemy import text

from engine import retries
from engine.bootstrap import launch
from engine.client import Engine, RunView
from engine.containers import Containers
from engine.db import Database
from engine.doorbell import Doorbell
from engine.enqueue import Enqueuer
from engine.errors import RunError
from engine.models import Run
from engine.ports import Box, Egress, Finished, Forge, ProviderKey, Report, Sandbox
from engine.process import process_id
from engine.settings import EngineSettings
from engine.signals import CHANNEL, WORK, Signals
from engine.worker import Abandoned, Membership
from engine.world import World, set_world
from tests.support.agent import ScriptedAgent
from tests.support.engine import new_run


class Product:
    """A remote that is refused as the test says, after the gate has opened."""

    def __init__(self) -> None:
        self.refusal = RunError("The remote is not there.", "remote")
        self.gate = asyncio.Event()
        self.reached = asyncio.Event()
        self.told: list[UUID] = []

    async def remote(self, project_id: UUID, user_id: UUID) -> Any:
        self.reached.set()
        await self.gate.wait()
        raise self.refusal

    async def provider_keys(self, user_id: UUID) -> list[ProviderKey]:
        return []

    async def waits(self, session: Any, run_id: UUID) -> None: ...

    async def egress(self, user_id: UUID) -> Egress:
        return Egress("listed")

    async def ended(self, session: Any, run_id: UUID) -> None:
        self.told.append(run_id)


class AwaySandbox:
    """A Docker engine that stopped answering after it woke the box."""

    name = "docker"

    async def ensure(self, user_id: UUID, report: Report) -> Box:
        return Box(user_id, "http://127.0.0.1:1", "", PurePosixPath("/r"), PurePosixPath("/o"))

    async def allow(self, user_id: UUID, egress: Egress) -> None: ...

    async def exec(self, box: Box, argv: Sequence[str], **options: Any) -> Finished:
        return Finished(0, b"", b"")

    async def stop_run(self, box: Box, run_id: UUID) -> None: ...

    async def cause_of_death(self, user_id: UUID, trial: str = "") -> RunError | None:
        raise RunError("The Docker engine does not answer.", "sandbox")

    async def found(self) -> dict[UUID, Any]:
        return {}

    async def check(self) -> str | None:
        return None


class Worker:
    """A worker in this process, and the product's view of it."""

    def __init__(self, database: Database, engine: Engine, product: Product, here: World) -> None:
        self.database = database
        self.engine = engine
        self.product = product
        self.here = here
        self.services = [asyncio.create_task(here.signals.serve())]

    async def launch(self) -> None:
        await Membership(self.here, "tests").join()
        bell = Doorbell()
        self.services.append(asyncio.create_task(bell.serve(self.here.signals)))
        await launch(self.here, bell)

    def allow(self, attempts: int) -> None:
        settings = self.here.settings.model_copy(update={"run_attempts": attempts})
        self.here = replace(self.here, settings=settings)
        set_world(self.here)

    async def press(self) -> UUID:
        async with self.database.transaction() as session:
            return await self.engine.start(session, new_run(uuid4()), 3)

    async def cancel(self, run_id: UUID) -> bool:
        async with self.database.transaction() as session:
            return await self.engine.cancel(session, run_id, self.product.ended)

    async def view(self, run_id: UUID) -> RunView:
        async with self.database.transaction() as session:
            found = await self.engine.run(session, run_id)
        assert found is not None
        return found

    async def end_of(self, run_id: UUID) -> RunView:
        """The run, once it has ended and nothing is left to do for it."""
        async with asyncio.timeout(30):
            while not await self._cleared(run_id):
                await asyncio.sleep(0.05)
        return await self.view(run_id)

    async def listens(self) -> bool:
        async with self.database.transaction() as session:
            count = (
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query = :query"
            )
            return bool(await session.scalar(text(count), {"query": f"LISTEN {CHANNEL}"}))

    async def _cleared(self, run_id: UUID) -> bool:
        async with self.database.transaction() as session:
            return (await session.get_one(Run, run_id)).cleared_at is not None


@pytest.fixture
async def parts(engine_database: Database, engine_client: Engine, tmp_path: Path) -> AsyncIterator[Worker]:
    """Everything wired; `launch` begins to take work."""
    settings = EngineSettings(database_url=engine_database.url, openlinear_home=tmp_path, run_attempts=1)
    product, sandbox = Product(), cast(Sandbox, AwaySandbox())
    here = World(
        settings=settings,
        database=engine_database,
        signals=Signals(engine_database.libpq_url),
        sandbox=sandbox,
        containers=Containers(engine_database, sandbox, settings),
        agents={"opencode": ScriptedAgent()},
        forge=cast(Forge, None),
        product=cast(Any, product),
        enqueuer=Enqueuer(settings),
        worker=process_id(),
    )
    set_world(here)
    worker = Worker(engine_database, engine_client, product, here)
    yield worker
    product.gate.set()
    for service in worker.services:
        service.cancel()
    await asyncio.to_thread(DBOS.destroy, workflow_completion_timeout_sec=0)
    # DBOS lent the loop its threads and has just ended them; the next test wants some of its own.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())
    set_world(None)


async def test_what_is_enqueued_is_told_to_the_workers(parts: Worker) -> None:
    with parts.here.signals.watch(WORK) as stirred:
        async with asyncio.timeout(10):
            while not await parts.listens():
                await asyncio.sleep(0.02)
        stirred.clear()
        await parts.press()
        async with asyncio.timeout(10):
            await stirred.wait()


async def test_a_refusal_is_the_reason_and_the_product_is_told(parts: Worker) -> None:
    await parts.launch()
    parts.product.gate.set()
    run_id = await parts.press()
    ended = await parts.end_of(run_id)
    assert (ended.status, ended.error, ended.error_kind) == ("failed", "The remote is not there.", "remote")
    assert parts.product.told == [run_id]


async def test_what_may_pass_is_tried_again_and_each_attempt_is_told(
    parts: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(retries.TABLE, "network", retries.Policy(retries=2, wait=0.05))
    parts.allow(attempts=9)
    await parts.launch()
    parts.product.refusal = RunError("Nothing answered.", "network")
    parts.product.gate.set()
    run_id = await parts.press()
    ended = await parts.end_of(run_id)
    assert (ended.status, ended.error, ended.attempt) == ("failed", "Nothing answered.", 3)
    async with parts.database.transaction() as session:
        log = await parts.engine.log(session, run_id)
    told = [(event.part, event.message) for event in log if event.part.startswith("attempt:")]
    assert told == [
        ("attempt:2", "Attempt 2 of 3 in 0 s: Nothing answered."),
        ("attempt:3", "Attempt 3 of 3 in 0 s: Nothing answered."),
    ]
    assert [event.seq for event in log] == list(range(1, len(log) + 1))


async def test_a_run_that_waits_for_its_next_attempt_is_cancelled_at_once(
    parts: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(retries.TABLE, "network", retries.Policy(retries=2, wait=3600.0, longest=3600.0))
    parts.allow(attempts=9)
    await parts.launch()
    parts.product.refusal = RunError("Nothing answered.", "network")
    parts.product.gate.set()
    run_id = await parts.press()
    async with asyncio.timeout(15):
        while (await parts.view(run_id)).attempt == 1:
            await asyncio.sleep(0.05)
    looking = asyncio.create_task(Abandoned(parts.here).serve())
    assert await parts.cancel(run_id)
    assert (await parts.end_of(run_id)).status == "cancelled"
    looking.cancel()


async def test_text_that_no_database_keeps_is_no_obstacle(parts: Worker) -> None:
    await parts.launch()
    parts.product.refusal = RunError("The model said: \x00 and \ud800.", "invalid_request")
    parts.product.gate.set()
    ended = await parts.end_of(await parts.press())
    assert (ended.status, ended.error) == ("failed", "The model said: ␀ and \ufffd.")


async def test_a_sandbox_that_is_away_does_not_hide_the_end(parts: Worker) -> None:
    await parts.launch()
    parts.product.refusal = RunError("The agent died.", "agent_crash")
    parts.product.gate.set()
    ended = await parts.end_of(await parts.press())
    assert (ended.status, ended.error) == ("failed", "The agent died.")


async def test_a_bug_of_ours_ends_the_run_too(parts: Worker) -> None:
    await parts.launch()
    parts.product.refusal = cast(Any, ZeroDivisionError("in the middle of something"))
    parts.product.gate.set()
    ended = await parts.end_of(await parts.press())
    assert (ended.status, ended.error_kind) == ("failed", "internal")
    assert "ZeroDivisionError" not in (ended.error or "")


async def test_an_outage_of_the_database_cancels_nothing(parts: Worker) -> None:
    await parts.launch()
    run_id = await parts.press()
    await parts.product.reached.wait()
    for _ in range(60):  # longer than the pause between two looks at the row
        with psycopg.connect(parts.database.libpq_url, autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        await asyncio.sleep(0.05)
    parts.product.gate.set()
    ended = await parts.end_of(run_id)
    assert (ended.status, ended.error) == ("failed", "The remote is not there.")


async def test_cancel_stops_a_step_midway(parts: Worker) -> None:
    await parts.launch()
    run_id = await parts.press()
    await parts.product.reached.wait()
    assert await parts.cancel(run_id)
    assert (await parts.end_of(run_id)).status == "cancelled"
    assert not await parts.cancel(run_id), "there is nothing left to cancel"


async def test_cancel_before_any_worker_came(parts: Worker) -> None:
    run_id = await parts.press()
    assert await parts.cancel(run_id)
    assert (await parts.view(run_id)).status == "cancelled"
    await parts.launch()
    second = await parts.press()
    parts.product.gate.set()
    await parts.end_of(second)
    assert (await parts.view(run_id)).status == "cancelled"
    assert parts.product.told == [run_id, second], "each end is told once"
