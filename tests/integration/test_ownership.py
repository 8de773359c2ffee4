"""One owner at a time: who lost a run, by death or by a frozen moment, writes nothing more of it."""

from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from engine.client import Engine
from engine.db import Database
from engine.models import Run
from engine.ownership import Superseded, claim, claim_abandoned, hand_over, take_over
from engine.queues import APPLICATION_VERSION
from engine.record import Entry, Recorder
from engine.settings import EngineSettings
from engine.worker import Membership, StruckOff
from engine.world import World
from tests.support.engine import new_run

LEASE = 15.0


class Sandbox:
    name = "docker"

    async def check(self) -> None:
        return None


class Hall:
    """Workers by name, and runs that DBOS has handed to them."""

    def __init__(self, database: Database, engine: Engine) -> None:
        self.database = database
        self.engine = engine

    def member(self, worker: str) -> Membership:
        settings = EngineSettings(database_url=self.database.url, worker_heartbeat_seconds=0.05)
        here = SimpleNamespace(settings=settings, database=self.database, sandbox=Sandbox(), worker=worker)
        return Membership(cast(World, here), worker)

    async def join(self, *workers: str) -> None:
        for worker in workers:
            await self.member(worker).join()

    async def run(self, worker: str) -> UUID:
        """A run that this worker has taken from the queue."""
        async with self.database.transaction() as session:
            run_id = await self.engine.start(session, new_run(uuid4()), 3)
        await self.hand(run_id, worker)
        return run_id

    async def hand(self, run_id: UUID, worker: str, version: str = "2") -> None:
        await self.execute(
            "UPDATE dbos.workflow_status SET status = 'PENDING', executor_id = :worker,"
            " application_version = :version WHERE workflow_uuid = :run",
            worker=worker,
            version=version,
            run=str(run_id),
        )

    async def execute(self, statement: str, **values: Any) -> Any:
        async with self.database.transaction() as session:
            found = await session.execute(text(statement), values)
            return found.all() if found.returns_rows else None

    async def freeze(self, worker: str, seconds: float) -> None:
        """Let its last heartbeat be so long ago."""
        await self.execute(
            "UPDATE workers SET seen_at = seen_at - make_interval(secs => :s) WHERE id = :w",
            s=seconds,
            w=worker,
        )

    async def look(self, dead: str | None = None) -> list[str]:
        async with self.database.transaction() as session:
            return (await take_over(session, dead=dead, lease_seconds=LEASE))[1]

    async def status(self, run_id: UUID) -> str:
        [(status,)] = await self.execute(
            "SELECT status FROM dbos.workflow_status WHERE workflow_uuid = :run", run=str(run_id)
        )
        return str(status)


@pytest.fixture
async def hall(engine_database: Database, engine_client: Engine) -> Hall:
    return Hall(engine_database, engine_client)


async def test_a_worker_that_gives_no_sign_loses_its_runs_and_the_others_keep_theirs(hall: Hall) -> None:
    await hall.join("a", "b")
    lost, kept = await hall.run("a"), await hall.run("b")
    await hall.freeze("a", 14)
    assert await hall.look() == []
    await hall.freeze("a", 2)
    assert await hall.look() == [str(lost)]
    assert await hall.look() == [], "once"
    assert (await hall.status(lost), await hall.status(kept)) == ("ENQUEUED", "PENDING")


async def test_one_that_comes_back_from_the_dead_writes_nothing(hall: Hall) -> None:
    await hall.join("a", "b")
    run_id = await hall.run("a")
    hold = await claim(hall.database, run_id, "a", str(run_id))
    assert hold is not None
    recorder = Recorder(hall.database, hold)
    await recorder.write([Entry("status", "one", message="mine")])
    await hall.freeze("a", 16)
    await hall.look()
    for attempt in (recorder.run(), recorder.write([Entry("status", "two")]), recorder.note("x", part="x")):
        with pytest.raises(Superseded):
            await attempt
    with pytest.raises(Superseded):
        await claim(hall.database, run_id, "a", str(run_id))
    await hall.hand(run_id, "b")
    second = await claim(hall.database, run_id, "b", str(run_id))
    assert second is not None
    assert second.fence > hold.fence
    await Recorder(hall.database, second).write([Entry("status", "two", message="theirs")])
    rows = await hall.execute(
        "SELECT seq, message FROM run_events WHERE run_id = :run ORDER BY seq", run=run_id
    )
    assert [tuple(row) for row in rows] == [(1, "mine"), (2, "theirs")]


async def test_it_learns_at_its_next_heartbeat_that_it_is_struck_off(hall: Hall) -> None:
    member = hall.member("a")
    await member.join()
    await hall.freeze("a", 16)
    await hall.look()
    with pytest.raises(StruckOff):
        await member.serve()


async def test_a_name_s_next_process_need_not_wait_for_heartbeats_to_be_missed(hall: Hall) -> None:
    await hall.join("a")
    run_id = await hall.run("a")
    assert await hall.look(dead="a") == [str(run_id)]


async def test_handing_over_signs_off_at_once(hall: Hall) -> None:
    await hall.join("a", "b")
    mine, theirs = await hall.run("a"), await hall.run("b")
    async with hall.database.transaction() as session:
        assert await hand_over(session, "a") == [str(mine)]
    assert (await hall.status(mine), await hall.status(theirs)) == ("ENQUEUED", "PENDING")
    with pytest.raises(Superseded):
        await claim(hall.database, mine, "a", str(mine))


async def test_what_an_older_version_left_starts_over_and_what_it_still_runs_does_not(hall: Hall) -> None:
    await hall.join("old", "new")
    await hall.execute("UPDATE workers SET version = '1' WHERE id = 'old'")
    run_id = await hall.run("old")
    await hall.hand(run_id, "old", version="1")
    await hall.execute(
        "INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name, output)"
        " VALUES (:run, 1, 'a step of old', 'null')",
        run=str(run_id),
    )
    steps = "SELECT count(*) FROM dbos.operation_outputs WHERE workflow_uuid = :run"
    assert await hall.look() == []
    await hall.execute("UPDATE dbos.workflow_status SET status = 'ENQUEUED'")  # as the old code hands over
    assert await hall.look() == [], "another of the old may take it"
    await hall.execute("DELETE FROM workers WHERE id = 'old'")
    assert await hall.look() == [str(run_id)]
    [(count,)] = await hall.execute(steps, run=str(run_id))
    assert count == 0
    [(version,)] = await hall.execute(
        "SELECT application_version FROM dbos.workflow_status WHERE workflow_uuid = :run", run=str(run_id)
    )
    assert version == APPLICATION_VERSION


async def test_a_cancelled_run_is_anybody_s_once_its_owner_takes_no_notice(hall: Hall) -> None:
    await hall.join("a", "b")
    run_id = await hall.run("a")
    hold = await claim(hall.database, run_id, "a", str(run_id))
    assert hold is not None
    await hall.execute("UPDATE runs SET cancel_requested_at = clock_timestamp()")
    assert await claim_abandoned(hall.database, "b") == []
    await hall.execute("UPDATE runs SET cancel_requested_at = clock_timestamp() - interval '1.5 seconds'")
    [taken] = await claim_abandoned(hall.database, "b")
    assert (taken.id, taken.fence) == (run_id, hold.fence + 1)
    with pytest.raises(Superseded):
        await Recorder(hall.database, hold).write([])
    assert await claim_abandoned(hall.database, "b") == [], "it has a while to see it through"
    await hall.execute("UPDATE runs SET cancel_taken_at = clock_timestamp() - interval '4 seconds'")
    assert len(await claim_abandoned(hall.database, "c")) == 1


async def test_a_run_that_is_cleared_is_nobody_s_any_more(hall: Hall) -> None:
    await hall.join("a")
    run_id = await hall.run("a")
    async with hall.database.transaction() as session:
        assert await hall.engine.cancel(session, run_id, _nobody)
    assert await claim(hall.database, run_id, "a", str(run_id)) is None
    assert await claim_abandoned(hall.database, "b") == []
    async with hall.database.transaction() as session:
        assert (await session.get_one(Run, run_id)).status == "cancelled"


async def _nobody(session: Any, run_id: UUID) -> None: ...
