"""A run as a person who operates it sees it: real workers, their logs, traces and counts."""

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import select

from engine import metrics
from engine.client import Engine
from engine.db import Database
from engine.metrics import STEP_FAILURES, STEP_SECONDS
from engine.models import Run
from tests.support.engine import new_run
from tests.support.sight import Collector, WorkerProcess

PROMPT = "The prompt that nobody but the agent may read"
STEPS = {"prepare", "stop", "salvage", "finish", "clear"}
"""The steps of a run that finds no sandbox."""


@pytest.fixture
async def run_id(engine_database: Database, engine_client: Engine) -> UUID:
    """A run that waits for a worker."""
    async with engine_database.transaction() as session:
        return await engine_client.start(session, new_run(uuid4(), prompt=PROMPT, title=PROMPT), 3)


async def end_of(database: Database, run_id: UUID) -> Run:
    """The run, once it has ended and nothing of it is left to do."""
    async with asyncio.timeout(60):
        while True:
            async with database.transaction() as session:
                found = await session.get_one(Run, run_id)
            if found.cleared_at is not None:
                return found
            await asyncio.sleep(0.05)


async def test_a_runs_log_lines_carry_its_id(
    database: str, engine_database: Database, run_id: UUID, tmp_path: Path
) -> None:
    worker = WorkerProcess(database, tmp_path, LOG_FORMAT="json")
    try:
        ended = await end_of(engine_database, run_id)
        # The remote's refusal and the sandbox's absence race: either ends it.
        assert ended.status == "failed"
    finally:
        worker.stop()
    lines = worker.lines()
    assert {line["process"] for line in lines} == {"worker"}
    assert {line["worker"] for line in lines} == {"w1"}
    own = [line for line in lines if line.get("run_id") == str(run_id)]
    said = [line["message"].partition(" after ")[0] for line in own if line["logger"] == "engine.observe"]
    ending = ["stop: ok", "salvage: ok", f"ended: {ended.error_kind}", "finish: ok", "clear: ok"]
    assert said == [f"prepare: failed ({ended.error_kind})", *ending]
    assert all(set(line) >= {"time", "level", "logger", "message"} for line in lines)
    assert PROMPT not in worker.log.read_text()


async def test_a_run_is_one_trace_whoever_does_its_steps(
    database: str,
    engine_database: Database,
    run_id: UUID,
    tmp_path: Path,
    collector: Collector,
) -> None:
    first = WorkerProcess(database, tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    second = None
    try:
        async with held(engine_database, run_id):
            await someone_waits(engine_database)
            first.process.kill()
            first.process.wait()
            second = WorkerProcess(database, tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
        await end_of(engine_database, run_id)
    finally:
        first.stop()
        if second is not None:
            second.stop()
    spans = {span["name"]: span for span in await collector.until("run", *STEPS)}
    run = spans.pop("run")
    assert run["trace"] == run_id.hex
    assert run["parent"] == ""
    assert {span["trace"] for span in spans.values()} == {run_id.hex}
    assert {span["parent"] for span in spans.values()} == {run["id"]}
    assert set(spans) == STEPS
    assert len({span["id"] for span in collector.spans}) == len(collector.spans) == 6
    assert spans["prepare"]["openlinear.step.result"] == "failed"
    assert spans["prepare"]["openlinear.fence"] > 1, "the first worker's died with it"
    assert run["openlinear.run.status"] == "failed"
    for span in collector.spans:
        assert span["openlinear.run.id"] == str(run_id)
        assert span["openlinear.model"] == "demo/demo-1"
        assert span["said"] == ""
    assert not any(PROMPT.encode() in body for body in collector.bodies)


async def test_a_collector_that_does_not_answer_holds_nobody_up(
    database: str, engine_database: Database, run_id: UUID, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        worker = WorkerProcess(database, tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
        try:
            assert (await end_of(engine_database, run_id)).status == "failed"
        finally:
            worker.stop()
    assert worker.process.returncode == 0, "it left by itself, and was not killed"


async def test_nothing_of_opentelemetrys_is_loaded_without_a_collector() -> None:
    code = (
        "import sys; from engine import traces; import engine.__main__; traces.setup('w');"
        "print([m for m in sys.modules if m.startswith('opentelemetry.sdk') or '.otlp' in m])"
    )
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


async def test_steps_are_counted_across_workers(
    database: str, engine_database: Database, engine_client: Engine, run_id: UUID, tmp_path: Path
) -> None:
    for index in range(2):
        if index:
            async with engine_database.transaction() as session:
                run_id = await engine_client.start(session, new_run(uuid4()), 3)
        worker = WorkerProcess(database, tmp_path)
        try:
            await end_of(engine_database, run_id)
        finally:
            worker.stop()
    async with engine_database.transaction() as session:
        reading = await metrics.read(session, 15.0)
    finished = {
        part: value
        for (name, labels, part), value in reading.totals.items()
        if name == STEP_SECONDS and '"finish"' in labels
    }
    assert sum(value for part, value in finished.items() if part != "sum") == 2
    assert finished["sum"] > 0
    assert sum(v for (name, _, _), v in reading.totals.items() if name == STEP_FAILURES) == 2
    assert reading.runs == {"failed": 2}
    assert reading.queued == 0


@contextlib.asynccontextmanager
async def held(database: Database, run_id: UUID) -> AsyncIterator[None]:
    """The run's row, locked: its next step waits within."""
    async with database.transaction() as session:
        await session.execute(select(Run).where(Run.id == run_id).with_for_update())  # type: ignore[arg-type]
        yield


async def someone_waits(database: Database) -> None:
    async with asyncio.timeout(30), await psycopg.AsyncConnection.connect(database.libpq_url) as look:
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        while not (await (await look.execute(waiting)).fetchone() or [0])[0]:
            await asyncio.sleep(0.05)
