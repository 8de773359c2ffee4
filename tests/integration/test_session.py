"""The agent's turn: what ends it, what makes it wait, and that nothing is recorded twice."""

import asyncio
from dataclasses import asdict
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from engine.client import Engine
from engine.db import Database
from engine.errors import RunError
from engine.models import Run, now
from engine.ports import AgentEvent, Session
from engine.session import converse
from engine.settings import EngineSettings
from engine.signals import Signals
from engine.world import World
from tests.support.agent import ScriptedAgent, box
from tests.support.engine import new_run, recorder_of

IDLE = AgentEvent("idle", "session", "1")


def tool(state: str) -> AgentEvent:
    return AgentEvent("tool", "t1", state, "run pytest -q", {"tool": "bash"})


class Turn:
    """One run and the world its turn takes place in."""

    def __init__(self, database: Database, url: str, **settings: float) -> None:
        self.database = database
        self.signals = Signals(database.libpq_url)
        self.world = cast(
            World,
            SimpleNamespace(
                settings=EngineSettings(database_url=url, **cast(Any, settings)),
                database=database,
                signals=self.signals,
                product=SimpleNamespace(waits=self._waits),
            ),
        )
        self.run_id = uuid4()
        self.told: list[UUID] = []
        """Of which run the product heard that it waits, or no longer."""

    async def _waits(self, session: Any, run_id: UUID) -> None:
        self.told.append(run_id)

    async def begin(self) -> None:
        async with self.database.transaction() as session:
            session.add(
                Run(
                    **asdict(new_run(uuid4())),
                    id=self.run_id,
                    branch="b",
                    status="executing",
                    started_at=now(),
                )
            )

    async def follow(self, agent: ScriptedAgent) -> None:
        recorder = recorder_of(self.database, self.run_id)
        await converse(self.world, recorder, box(), Session("s1", PurePosixPath("/repos/x")), agent)

    async def log(self, engine: Engine) -> list[str]:
        async with self.database.transaction() as session:
            return [event.message for event in await engine.log(session, self.run_id)]


async def turn(database: Database, **settings: float) -> Turn:
    made = Turn(database, database.url, **settings)
    await made.begin()
    return made


async def test_it_ends_when_the_agent_is_idle(engine_database: Database, engine_client: Engine) -> None:
    made = await turn(engine_database)
    await made.follow(ScriptedAgent(AgentEvent("text", "p", "0", "hello"), IDLE))
    assert await made.log(engine_client) == ["hello"]


async def test_silence_is_ended_and_said(engine_database: Database) -> None:
    made = await turn(engine_database, run_idle_seconds=0.4)
    with pytest.raises(RunError, match="no sign of life") as refusal:
        await made.follow(ScriptedAgent())
    assert refusal.value.kind == "timeout"


async def test_a_running_tool_is_not_silence(engine_database: Database) -> None:
    made = await turn(engine_database, run_idle_seconds=0.4)
    await made.follow(ScriptedAgent(tool("running"), 1.5, tool("completed"), IDLE))


async def test_a_tool_without_end_meets_the_total_limit(engine_database: Database) -> None:
    made = await turn(engine_database, run_idle_seconds=0.4, run_total_seconds=1.0)
    with pytest.raises(RunError, match="reached its limit"):
        await made.follow(ScriptedAgent(tool("running")))


async def test_a_model_that_never_answers_is_given_up(engine_database: Database) -> None:
    made = await turn(engine_database, model_retry_limit=2)
    retries = [
        AgentEvent("retry", "r", str(n), "Too many requests.", {"attempt": n, "class": "rate_limit"})
        for n in range(1, 4)
    ]
    with pytest.raises(RunError, match="after 2 retries") as refusal:
        await made.follow(ScriptedAgent(*retries))
    assert refusal.value.kind == "rate_limit"


async def test_a_wait_that_is_too_long_ends_the_attempt_at_once(engine_database: Database) -> None:
    made = await turn(engine_database, run_idle_seconds=60)
    details = {"attempt": 1, "class": "rate_limit", "waitSeconds": 600.0}
    with pytest.raises(RunError, match="wait longer than 60 seconds") as refusal:
        await made.follow(ScriptedAgent(AgentEvent("retry", "r", "1", "Too many requests.", details)))
    assert (refusal.value.kind, refusal.value.wait) == ("rate_limit", 600.0)


async def test_what_it_costs_is_counted_as_it_is_told(engine_database: Database) -> None:
    made = await turn(engine_database)
    async with engine_database.transaction() as session:
        (await session.get_one(Run, made.run_id)).limits = {"dollars": 0.5}
    bills = [AgentEvent("usage", f"u{n}", "usage", "", {"tokensIn": 9, "cost": 0.2}) for n in range(9)]
    with pytest.raises(RunError, match=r"limit of \$0.50 .* has cost \$0.60") as refusal:
        await made.follow(ScriptedAgent(bills[0], 0.1, bills[1], 0.1, bills[2], 60, *bills[3:]))
    assert refusal.value.kind == "budget"


async def test_an_error_of_the_agent_is_the_reason(engine_database: Database) -> None:
    made = await turn(engine_database)
    wrong_key = AgentEvent("error", "e", "1", "The key for acme was refused.", {"class": "authentication"})
    with pytest.raises(RunError, match="refused") as refusal:
        await made.follow(ScriptedAgent(wrong_key))
    assert refusal.value.kind == "authentication"


async def test_a_question_waits_for_its_answer(engine_database: Database, engine_client: Engine) -> None:
    made = await turn(engine_database, run_idle_seconds=0.4, run_total_seconds=1.0)
    agent = ScriptedAgent(AgentEvent("ask", "q1", "", "Which one?", {"ask": "question"}))
    following = asyncio.create_task(made.follow(agent))
    listening = asyncio.create_task(made.signals.serve())
    try:
        await asyncio.sleep(2.0)  # longer than both watchdogs would allow
        async with engine_database.transaction() as session:
            run = await engine_client.run(session, made.run_id)
            [ask] = await engine_client.asks(session, [made.run_id])
            assert run is not None
            assert run.status == "waiting"
            assert await engine_client.answer(session, ask.id, {"answers": [["B"]]})
        async with asyncio.timeout(3.0):
            assert await agent.answered.get() == ("q1", {"answers": [["B"]]})
        agent.more.put_nowait(AgentEvent("answered", "q1", "answered", "B"))
        agent.more.put_nowait(IDLE)
        async with asyncio.timeout(3.0):
            await following
    finally:
        following.cancel()
        listening.cancel()
    async with engine_database.transaction() as session:
        run = await engine_client.run(session, made.run_id)
        assert run is not None
        assert run.status == "executing"
        assert await engine_client.asks(session, [made.run_id]) == []
        assert not await engine_client.answer(session, ask.id, {"answers": [["C"]]})
    assert made.told == [made.run_id] * 2  # asked, and settled


async def test_a_second_worker_is_told_what_was_recorded(
    engine_database: Database, engine_client: Engine
) -> None:
    made = await turn(engine_database)
    first = [AgentEvent("text", "p", "0", "hel"), AgentEvent("text", "p", "3", "lo"), tool("running")]
    with pytest.raises(RunError):
        await made.follow(ScriptedAgent(*first, AgentEvent("error", "e", "1", "gone", {})))
    second = ScriptedAgent(AgentEvent("text", "p", "3", "lo"), AgentEvent("text", "p", "5", " you"), IDLE)
    await made.follow(second)
    assert second.seen == {"p": "5"}
    assert "".join(await made.log(engine_client)) == "hellorun pytest -qgone you"
