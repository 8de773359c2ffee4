"""OpenCode over HTTP: one server per user's sandbox, one session per run.

Everything is rejoined, never repeated: a session is found by its title and a prompt by its id, and the
event stream, which has no replay, is joined first and then completed from what the session holds.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

import httpx

from engine.agents.opencode_api import GONE, Server
from engine.agents.opencode_events import Reader
from engine.agents.opencode_providers import store
from engine.errors import RunError
from engine.ports import AgentEvent, Box, ModelRef, ProviderKey, Sandbox, Session
from engine.settings import EngineSettings

FLUSH_SECONDS = 0.15
"""Text deltas are gathered this long before they become one event."""
ALIVE_SECONDS = 1.0
"""Signs of life are passed on at most this often."""
SETTLE_SECONDS = 3.0
"""A session that is neither busy nor done gets this long: a prompt is taken up after its request returns."""
RECONNECT_SECONDS = 20.0
"""How long the server may be away before the agent counts as gone."""
TAKE_UP_SECONDS = 15.0


class OpenCode:
    """`engine.ports.Agent` on OpenCode's server."""

    name = "opencode"

    def __init__(self, sandbox: Sandbox, settings: EngineSettings) -> None:
        self._sandbox = sandbox
        self._pace = settings.demo_model_pace

    async def prepare(self, box: Box, keys: Sequence[ProviderKey], *, demo: bool) -> None:
        await store(self._sandbox, box, keys, demo=demo, pace=self._pace)

    async def open(self, box: Box, directory: PurePosixPath, title: str) -> Session:
        async with Server(box, directory) as server:
            for found in await server.get("/session", search=title) or ():
                if found["title"] == title and found["directory"] == str(directory):
                    return Session(found["id"], directory)
            made = await server.post("/session", {"title": title})
        if made is None:
            raise RunError(GONE, "agent_crash")
        return Session(made["id"], directory)

    async def prompt(self, box: Box, session: Session, message_id: str, text: str, model: ModelRef) -> None:
        digest = _identifier(session, message_id)
        message = f"/session/{session.id}/message/msg_{digest}"
        async with Server(box, session.directory) as server:
            if await server.get(message) is not None:
                return
            await server.post(
                f"/session/{session.id}/prompt_async",
                {
                    "messageID": f"msg_{digest}",
                    "model": {"providerID": model.provider, "modelID": model.model},
                    "parts": [{"id": f"prt_{digest}", "type": "text", "text": text}],
                },
            )
            # The request is answered before the message is kept: only then would a repeat find it.
            deadline = asyncio.get_running_loop().time() + TAKE_UP_SECONDS
            while await server.get(message) is None:
                if asyncio.get_running_loop().time() > deadline:
                    raise RunError("The agent did not take up the prompt. Run it again.", "agent_crash")
                await asyncio.sleep(0.03)

    async def events(self, box: Box, session: Session, seen: Mapping[str, str]) -> AsyncIterator[AgentEvent]:
        """As `Agent.events`. `seen` may also map an open ask to "asked": it is reported answered if it is not
        open any more."""
        reader = Reader(session, seen)
        clock = asyncio.get_running_loop().time
        lost = clock()
        pause = 0.1
        while clock() - lost < RECONNECT_SECONDS:
            try:
                async with Server(box, session.directory) as server:
                    async for event in self._follow(server, session, reader):
                        lost, pause = clock(), 0.1
                        yield event
                    lost = max(lost, clock() - 1.0)
            except (httpx.HTTPError, RunError) as error:
                if isinstance(error, RunError) and error.kind != "agent_crash":
                    raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)
        raise RunError(GONE, "agent_crash")

    async def _follow(self, server: Server, session: Session, reader: Reader) -> AsyncIterator[AgentEvent]:
        """What one connection brings, until it breaks off."""
        clock = asyncio.get_running_loop().time
        async with server.events() as queue:
            for event in await _caught_up(server, session, reader):
                yield event
            settle = clock() + SETTLE_SECONDS
            flush, alive = float("inf"), 0.0
            while True:
                until = min(flush, settle if reader.unsettled else float("inf"))
                raw = await _next(queue, until)
                if raw is None:
                    break
                for event in reader.feed(raw) if raw else ():
                    if event.kind != "alive" or clock() - alive > ALIVE_SECONDS:
                        alive = clock()
                        yield event
                if clock() >= flush:
                    for event in reader.flush():
                        yield event
                flush = (
                    min(flush, clock() + FLUSH_SECONDS)
                    if reader.holds_text and clock() < flush
                    else float("inf")
                )
                if reader.unsettled and clock() >= settle:
                    for event in await _caught_up(server, session, reader):
                        yield event
                    for event in reader.give_up() if reader.unsettled else ():
                        yield event
        for event in reader.flush():
            yield event

    async def answer(self, box: Box, session: Session, part: str, details: Mapping[str, Any]) -> None:
        ask = quote(part, safe="")
        async with Server(box, session.directory) as server:
            if part.startswith("per"):
                body = {"reply": details["reply"]}
                if details["reply"] == "reject":
                    # Without a message OpenCode ends the turn there and then.
                    body["message"] = details.get("message") or "This is not allowed. Go on without it."
                await server.post(f"/permission/{ask}/reply", body)
            elif details.get("reject"):
                await server.post(f"/question/{ask}/reject")
            else:
                await server.post(f"/question/{ask}/reply", {"answers": details["answers"]})

    async def abort(self, box: Box, session: Session) -> None:
        async with Server(box, session.directory) as server:
            await server.post(f"/session/{session.id}/abort")


def _identifier(session: Session, message_id: str) -> str:
    """The caller's id as one of OpenCode's: unique over all its sessions, and low.

    Messages are ordered by time and, within a millisecond, by id; ids of OpenCode's own begin with the time,
    so that one with leading zeros comes before the answer to it.
    """
    return "0000" + hashlib.sha256(f"{session.id}\0{message_id}".encode()).hexdigest()[:22]


async def _caught_up(server: Server, session: Session, reader: Reader) -> list[AgentEvent]:
    """What the session holds, status last: what happens in between is in the stream as well."""
    messages = await server.get(f"/session/{session.id}/message")
    if messages is None:
        raise RunError("The agent does not know this run's session any more. Run it again.", "internal")
    permissions = await server.get("/permission") or []
    questions = await server.get("/question") or []
    status = (await server.get("/session/status") or {}).get(session.id)
    return reader.catch_up(messages, status, permissions, questions)


async def _next(queue: "asyncio.Queue[Any]", until: float) -> Any:
    """The next event, {} when there is none by `until`, None at the stream's end."""
    wait = None if until == float("inf") else max(0.0, until - asyncio.get_running_loop().time())
    try:
        return await asyncio.wait_for(queue.get(), wait)
    except TimeoutError:
        return {}
