"""A run's history: numbered without a gap, nothing twice, in the order of its commits."""

import asyncio
from dataclasses import asdict
from uuid import UUID, uuid4

from engine.client import Engine
from engine.db import Database
from engine.models import Run
from engine.record import Entry
from tests.support.engine import new_run, recorder_of


async def _started(database: Database) -> UUID:
    async with database.transaction() as session:
        run = Run(**asdict(new_run(uuid4())), branch="openlinear/x")
        session.add(run)
    return run.id


async def test_writers_at_once_leave_no_gap(engine_database: Database, engine_client: Engine) -> None:
    run_id = await _started(engine_database)
    recorder = recorder_of(engine_database, run_id)
    await asyncio.gather(
        *(recorder.write([Entry("text", f"part{n}", message=str(m)) for m in range(1)]) for n in range(40))
    )
    async with engine_database.transaction() as session:
        log = await engine_client.log(session, run_id)
        run = await engine_client.run(session, run_id)
    assert [event.seq for event in log] == list(range(1, 41))
    assert [event.id for event in log] == sorted(event.id for event in log)
    assert run is not None
    assert run.last_seq == 40


async def test_a_repeat_is_written_once_and_counted_once(
    engine_database: Database, engine_client: Engine
) -> None:
    run_id = await _started(engine_database)
    recorder = recorder_of(engine_database, run_id)
    usage = Entry("usage", "step1", add={"tokens_in": 10, "cost": 0.5})
    await recorder.write([usage, usage])
    await recorder.write([usage, Entry("usage", "step2", add={"tokens_in": 1})])
    async with engine_database.transaction() as session:
        run = await engine_client.run(session, run_id)
    assert run is not None
    assert (run.tokens_in, run.cost, run.last_seq) == (11, 0.5, 2)


async def test_offsets_count_characters_and_nul_is_kept(
    engine_database: Database, engine_client: Engine
) -> None:
    run_id = await _started(engine_database)
    recorder = recorder_of(engine_database, run_id)
    await recorder.write([Entry("text", "a", "0", "h\x00é"), Entry("text", "a", "3", "🙂")])
    await recorder.write([Entry("tool", "b", "running", "x", details={"out\x00": ["\x00"]})])
    assert await recorder.text_offsets() == {"a": "4"}
    async with engine_database.transaction() as session:
        log = await engine_client.log(session, run_id)
    assert "".join(event.message for event in log[:2]) == "h␀é🙂"


async def test_an_ended_run_takes_no_more(engine_database: Database, engine_client: Engine) -> None:
    run_id = await _started(engine_database)
    recorder = recorder_of(engine_database, run_id)
    await recorder.write([], status="cancelled")
    await recorder.write([Entry("text", "late", message="too late")], status="executing")
    async with engine_database.transaction() as session:
        run = await engine_client.run(session, run_id)
    assert run is not None
    assert (run.status, run.last_seq) == ("cancelled", 0)


async def test_progress_never_goes_back(engine_database: Database, engine_client: Engine) -> None:
    run_id = await _started(engine_database)
    recorder = recorder_of(engine_database, run_id)
    await recorder.note("far", part="one", progress=60)
    await recorder.note("a rejoined session begins anew", part="two", progress=20)
    assert (await recorder.run()).progress == 60
