"""The agent's turn: the prompt goes in, events come out, questions are answered, hangs are ended.

A worker that dies in here is followed by one that calls `converse` again: the session and the
prompt are found by names derived from the run, and events that were recorded are known by theirs.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from engine.errors import RunError
from engine.limits import Limits, length, out_of_time, spent
from engine.models import Ask, Run, now
from engine.ports import Agent, AgentEvent, Box, ModelRef, ProviderKey, Session
from engine.record import Entry, Recorder
from engine.world import World

KEEP_SECONDS = 5.0
"""How often the time that a run has used is written down: what a killed worker forgets of it at most."""

GO_ON = (
    "An earlier attempt at this task was interrupted. This folder holds what it did so far: look at that "
    "first, and go on from there."
)
FIRST, LAST = 20, 80
"""The share of the card's progress bar, in percent, that the agent's turn fills."""


async def converse(world: World, recorder: Recorder, box: Box, session: Session, agent: Agent) -> None:
    """Follow the run's session to the end of its turn. RunError when it failed, hung or died."""
    turn = _Turn(world, await recorder.run(), recorder, box=box, session=session, agent=agent)
    watchers = [asyncio.create_task(turn.answers()), asyncio.create_task(turn.watchdog())]
    follower = asyncio.create_task(turn.follow())
    try:
        done, _ = await asyncio.wait([follower, *watchers], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in (follower, *watchers):
            task.cancel()
        await asyncio.gather(follower, *watchers, return_exceptions=True)


async def prepare_agent(run: Run, box: Box, agent: Agent, keys: list[ProviderKey]) -> None:
    """What the agent has to know before it opens the run's workspace."""
    await agent.prepare(box, box.repos / str(run.id), keys, demo=run.model.startswith("demo/"))


async def open_session(
    world: World, run: Run, box: Box, agent: Agent, keys: list[ProviderKey], *, follow_up: str | None = None
) -> Session:
    """The attempt's session, prompted. Asking twice yields one session and one prompt.

    `follow_up` is what comes after the task's own prompt has been done.

    RunError when the agent has lost the session that it had.
    """
    provider, _, model = run.model.partition("/")
    await prepare_agent(run, box, agent, keys)
    again = f" {run.attempt}" if run.attempt > 1 else ""
    session = await agent.open(box, box.repos / str(run.id), f"openlinear {run.id}{again}")
    if run.session_id not in (None, session.id):
        raise RunError(
            "The agent's session is gone from its sandbox, so its work cannot be followed to the end. "
            "What it left in its workspace is there.",
            "agent_crash",
        )
    goes_on = again and world.settings.run_retry_from == "workspace"
    prompt = f"{GO_ON}\n\n{follow_up or run.prompt}" if goes_on else follow_up or run.prompt
    message = f"{run.id}{again}{' follow-up' if follow_up else ''}"
    follows = follow_up is not None and not again
    await agent.prompt(box, session, message, prompt, ModelRef(provider, model), follow_up=follows)
    return session


class _Turn:
    def __init__(
        self, world: World, run: Run, recorder: Recorder, *, box: Box, session: Session, agent: Agent
    ) -> None:
        self._world = world
        self._run = run
        self._recorder = recorder
        self._box = box
        self._session = session
        self._agent = agent
        self._alive = time.monotonic()
        self._tools: set[str] = set()
        self._asks: set[str] = set()
        self._limits = Limits.of(run.limits, world.settings)
        self._idle = self._limits.idle_seconds or world.settings.run_idle_seconds
        self._retry: AgentEvent | None = None
        """What the model said when it last refused, while the agent waits to ask it again."""
        self._events = 0

    # -- following ----------------------------------------------------------------------------

    async def follow(self) -> None:
        """Record events in batches as they come, until the turn ends."""
        seen = await self._recorder.text_offsets() | await self._open_asks()
        async for batch in _batches(self._agent.events(self._box, self._session, seen)):
            self._alive = time.monotonic()
            ending = next((event for event in batch if event.kind in ("idle", "error")), None)
            await self._record([event for event in batch if event.kind not in ("alive", "idle")])
            for event in batch:
                self._count_retries(event)
            await self._check_budget(batch)
            if ending is not None and ending.kind == "error":
                raise RunError(ending.text, ending.details.get("class", "agent_crash"))
            if ending is not None:
                return
        raise RunError("The agent's event stream ended before its turn did. Retry the task.", "agent_crash")

    async def _record(self, events: list[AgentEvent]) -> None:
        if not events:
            return
        for event in events:
            await self._track(event)
        self._events += len(events)
        share = 1 - 1 / (1 + self._events / 40)
        columns: dict[str, Any] = {
            "progress": FIRST + int((LAST - FIRST) * share),
            "status": "waiting" if self._asks else "executing",
        }
        doing = next((line for event in reversed(events) if (line := _doing(event))), None)
        if doing:
            columns["message"] = doing
        await self._recorder.write([_entry(event) for event in events], **columns)

    async def _track(self, event: AgentEvent) -> None:
        match event.kind:
            case "tool" if event.state == "running":
                self._tools.add(event.part)
            case "tool":
                self._tools.discard(event.part)
            case "ask":
                self._asks.add(event.part)
                await self._ask(event)
            case "answered":
                self._asks.discard(event.part)
                await self._settled(event.part)

    async def _check_budget(self, batch: list[AgentEvent]) -> None:
        """Money and tokens are counted by the row, so that they add up over attempts and workers."""
        if any(event.kind == "usage" for event in batch):
            run = await self._recorder.run()
            if over := spent(self._limits, tokens=run.tokens_in + run.tokens_out, dollars=run.cost):
                raise over

    def _count_retries(self, event: AgentEvent) -> None:
        """The agent backs off without end by itself: after a few tries in a row, or where the wait is
        longer than an agent may be silent, this attempt is over.
        """
        limit = self._world.settings.model_retry_limit
        if event.kind != "alive":
            self._retry = event if event.kind == "retry" else None
        if event.kind == "retry" and int(event.details.get("attempt", 0)) > limit:
            raise RunError(
                f"The model did not answer after {limit} retries: {event.text} Retry the task later, "
                "or choose another model.",
                event.details.get("class", "overload"),
                wait=event.details.get("waitSeconds"),
            )
        if event.kind == "retry" and event.details.get("waitSeconds", 0) > self._idle:
            raise self._silence()

    # -- asks -----------------------------------------------------------------------------------

    async def _ask(self, event: AgentEvent) -> None:
        async with self._recorder.transaction() as (session, _):
            await session.execute(
                insert(Ask)
                .values(
                    run_id=self._run.id,
                    part=event.part,
                    kind=str(event.details.get("ask", "question")),
                    text=event.text,
                    details=dict(event.details),
                )
                .on_conflict_do_nothing()
            )
            await self._world.product.waits(session, self._run.id)

    async def _settled(self, part: str) -> None:
        async with self._recorder.transaction() as (session, _):
            ask = await self._find(session, part)
            if ask is not None and ask.settled_at is None:
                ask.settled_at = now()
                await session.flush()
                await self._world.product.waits(session, self._run.id)

    async def _find(self, session: Any, part: str) -> Ask | None:
        query = select(Ask).where(col(Ask.run_id) == self._run.id, col(Ask.part) == part)
        found: Ask | None = (await session.execute(query)).scalar_one_or_none()
        return found

    async def _open_asks(self) -> dict[str, str]:
        """What is still open in our books, so that the agent can say what was settled meanwhile."""
        async with self._world.database.transaction() as session:
            query = select(col(Ask.part)).where(
                col(Ask.run_id) == self._run.id, col(Ask.settled_at).is_(None)
            )
            return dict.fromkeys((await session.execute(query)).scalars(), "asked")

    async def answers(self) -> None:
        """Hand each answer that a person gives to the agent, as soon as it is there."""
        with self._world.signals.watch(self._run.id) as stirred:
            while True:
                await _wait(stirred, 5.0)
                for part, answer in await self._given():
                    await self._agent.answer(self._box, self._session, part, answer)
                    await self._settled(part)

    async def _given(self) -> list[tuple[str, dict[str, Any]]]:
        async with self._world.database.transaction() as session:
            rows = await session.execute(
                select(col(Ask.part), col(Ask.answer)).where(
                    col(Ask.run_id) == self._run.id,
                    col(Ask.answered_at).is_not(None),
                    col(Ask.settled_at).is_(None),
                )
            )
            return [(part, answer or {}) for part, answer in rows]

    # -- watchdogs ------------------------------------------------------------------------------

    async def watchdog(self) -> None:
        """End a run that hangs. A running tool and a waiting run are not idle; waiting is not counted."""
        beat = min(1.0, self._idle / 4)
        active, kept = self._run.active_seconds, self._run.active_seconds
        while True:
            await asyncio.sleep(beat)
            if self._asks:
                self._alive = time.monotonic()
                continue
            active += beat
            if active - kept > KEEP_SECONDS:
                await self._recorder.write([], active_seconds=active)
                kept = active
            if time.monotonic() - self._alive > self._idle and not self._tools:
                raise self._silence()
            if over := out_of_time(self._limits, active):
                raise over

    def _silence(self) -> RunError:
        """Why nothing came for so long, or will not."""
        for_so_long = length(self._idle)
        if self._retry is not None:
            return RunError(
                f"The model asks to wait longer than {for_so_long}: {self._retry.text} Retry the task "
                "later, or choose another model.",
                self._retry.details.get("class", "overload"),
                wait=self._retry.details.get("waitSeconds"),
            )
        return RunError(
            f"The agent gave no sign of life for {for_so_long}, so it was stopped. Retry the task; if it "
            "happens again, try another model.",
            "timeout",
        )


async def _batches(events: AsyncIterator[AgentEvent]) -> AsyncIterator[list[AgentEvent]]:
    """What has come since the last look, at least one: a busy agent costs one transaction, not fifty."""
    queue: asyncio.Queue[AgentEvent | BaseException | None] = asyncio.Queue(maxsize=1000)

    async def pump() -> None:
        try:
            async for event in events:
                await queue.put(event)
            await queue.put(None)
        except Exception as error:
            await queue.put(error)

    task = asyncio.create_task(pump())
    try:
        while True:
            batch: list[AgentEvent] = []
            item = await queue.get()
            while isinstance(item, AgentEvent):
                batch.append(item)
                if queue.empty() or len(batch) >= 200:
                    break
                item = queue.get_nowait()
            if batch:
                yield batch
            if isinstance(item, BaseException):
                raise item
            if item is None:
                return
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Until the event is set, or for so long: a lost hint costs seconds, not the run."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
    event.clear()


def _entry(event: AgentEvent) -> Entry:
    level = {"error": "error", "retry": "warning"}.get(event.kind, "info")
    add: Mapping[str, float] = {}
    if event.kind == "usage":
        details = event.details
        add = {
            "tokens_in": int(details.get("tokensIn", 0)),
            "tokens_out": int(details.get("tokensOut", 0)),
            "cost": float(details.get("cost", 0.0)),
        }
    if event.kind == "tool" and event.state == "error":
        level = "warning"
    return Entry(event.kind, event.part, event.state, event.text, level, event.details or None, add)


def _doing(event: AgentEvent) -> str | None:
    """The card's line, where the event tells what the agent does now."""
    match event.kind:
        case "tool" if event.state == "running":
            return event.text
        case "ask":
            return "Waiting for you: " + event.text
        case "retry":
            return "The model did not answer, trying again: " + event.text
        case _:
            return None
