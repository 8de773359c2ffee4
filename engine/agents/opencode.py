"""OpenCode over HTTP: one server per user's sandbox, one session per run.

Everything is rejoined, never repeated: a session is found by its title and a prompt by its id, and the
event stream, which has no replay, is joined first and then completed from what the session holds.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

import httpx

from engine.agents.opencode_api import GONE, Server
from engine.agents.opencode_events import Reader
from engine.agents.opencode_providers import store, wanted
from engine.agents.opencode_warm import rehearse
from engine.errors import RunError
from engine.ports import AgentEvent, Box, ModelRef, ProviderKey, Sandbox, Session
from engine.settings import EngineSettings

FLUSH_SECONDS = 0.15
"""Text deltas are gathered this long before they become one event."""
ALIVE_SECONDS = 1.0
"""Signs of life are passed on at most this often."""
SETTLE_SECONDS = 5.0
"""A session that is neither busy nor done gets this long: a prompt is taken up after its request returns."""
RECONNECT_SECONDS = 20.0
"""How long the server may be away before the agent counts as gone."""
TAKE_UP_SECONDS = 15.0
"""How long a prompt may take to show up among the session's messages."""
WARM_SECONDS = 5.0
"""More than that, and the prompt itself may as well wait."""
FIRST = "0" * 12
"""How a first prompt's id begins: before all that OpenCode numbers by the clock, even in the same instant."""
NEVER = float("inf")
HOUSE_RULES = (
    "Where the repository has an AGENTS.md, read it first and follow it. Work in the current folder alone. "
    "Do not push: what you leave in the folder is committed and pushed for you."
)
"""OpenCode runs with `OPENCODE_DISABLE_PROJECT_CONFIG`, since a repository's own config can load plugins and
point a provider, and so the user's key, elsewhere. AGENTS.md, harmless text, would be left out with it."""


class OpenCode:
    """`engine.ports.Agent` on OpenCode's server."""

    name = "opencode"

    def __init__(self, sandbox: Sandbox, settings: EngineSettings) -> None:
        self._sandbox = sandbox
        self._pace = settings.demo_model_pace
        self._prepared: dict[PurePosixPath, str] = {}
        """Folders that wait for a session, and what their server was told for it (see `_known_by`)."""
        self._opened: dict[PurePosixPath, str] = {}
        """The same of what it knew when they were opened."""

    async def prepare(
        self, box: Box, directory: PurePosixPath, keys: Sequence[ProviderKey], *, demo: bool
    ) -> None:
        wish = wanted(keys, demo=demo)
        known = _known_by(box, wish)
        if self._prepared.get(directory) == known:
            return  # the same was said before, and the server has not been started anew since
        await store(self._sandbox, box, wish, pace=self._pace)
        self._prepared[directory] = known

    async def warm(self, box: Box, directory: PurePosixPath, *, again: bool = False) -> None:
        known = self._prepared.get(directory)
        if again and self._opened.get(directory) != known:
            await self._dispose(box, directory)
        with suppress(RunError, TimeoutError):
            async with Server(box, directory) as server, asyncio.timeout(WARM_SECONDS):
                await rehearse(server)
        if known is not None:
            self._opened[directory] = known

    async def open(self, box: Box, directory: PurePosixPath, title: str) -> Session:
        self._forget(directory)
        async with Server(box, directory) as server:
            for found in await server.get("/session", search=title) or ():
                if found["title"] == title and found["directory"] == str(directory):
                    return Session(found["id"], directory)
            made = await server.post("/session", {"title": title})
        if made is None:
            raise RunError(GONE, "agent_crash")
        return Session(made["id"], directory)

    async def prompt(
        self,
        box: Box,
        session: Session,
        message_id: str,
        text: str,
        model: ModelRef,
        *,
        follow_up: bool = False,
    ) -> None:
        digest = _digest(session, message_id)
        async with Server(box, session.directory) as server:
            if await _taken_up(server, session, digest):
                return
            await _check_model(server, model)
            ident = (_time_now() if follow_up else FIRST) + digest
            await server.post(
                f"/session/{session.id}/prompt_async",
                {
                    "messageID": f"msg_{ident}",
                    "system": HOUSE_RULES,
                    "model": {"providerID": model.provider, "modelID": model.model},
                    "parts": [{"id": f"prt_{ident}", "type": "text", "text": text}],
                },
            )
            # The request is answered before the message is kept: only then would a repeat find it.
            deadline = asyncio.get_running_loop().time() + TAKE_UP_SECONDS
            while await server.get(f"/session/{session.id}/message/msg_{ident}") is None:
                if asyncio.get_running_loop().time() > deadline:
                    raise RunError("The agent did not take up the prompt. Run it again.", "agent_crash")
                await asyncio.sleep(0.03)

    async def events(self, box: Box, session: Session, seen: Mapping[str, str]) -> AsyncIterator[AgentEvent]:
        """As `Agent.events`. `seen` may also map an open ask to "asked": it is reported answered if it is not
        open any more."""
        reader = Reader(session, seen)
        clock = asyncio.get_running_loop().time
        away_since, pause = None, 0.1
        while True:
            try:
                async with Server(box, session.directory) as server:
                    async for event in self._follow(server, session, reader):
                        away_since, pause = None, 0.1
                        yield event
                    away_since = None
            except (httpx.HTTPError, RunError) as error:
                if isinstance(error, RunError) and error.kind != "agent_crash":
                    raise
            away_since = away_since or clock()
            if clock() - away_since > RECONNECT_SECONDS:
                raise RunError(GONE, "agent_crash")
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)

    async def _follow(self, server: Server, session: Session, reader: Reader) -> AsyncIterator[AgentEvent]:
        """What one connection brings, until it breaks off."""
        clock = asyncio.get_running_loop().time
        async with server.events() as queue:
            for event in await _caught_up(server, session, reader):
                yield event
            settle, flush, alive = clock() + SETTLE_SECONDS, NEVER, -ALIVE_SECONDS
            while (raw := await _next(queue, min(flush, settle if reader.unsettled else NEVER))) is not None:
                for event in reader.feed(raw):
                    if event.kind != "alive" or clock() - alive >= ALIVE_SECONDS:
                        alive = clock()
                        yield event
                if clock() >= flush:
                    for event in reader.flush():
                        yield event
                flush = min(flush, clock() + FLUSH_SECONDS) if reader.holds_text else NEVER
                if reader.unsettled and clock() >= settle:
                    again = await _caught_up(server, session, reader)
                    for event in again + (reader.give_up() if reader.unsettled else []):
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

    async def close(self, box: Box, directory: PurePosixPath) -> None:
        self._forget(directory)
        await self._dispose(box, directory)

    async def _dispose(self, box: Box, directory: PurePosixPath) -> None:
        with suppress(RunError):  # a server that is gone holds nothing
            async with Server(box, directory) as server:
                await server.post("/instance/dispose")

    def _forget(self, directory: PurePosixPath) -> None:
        self._prepared.pop(directory, None)
        self._opened.pop(directory, None)


def _known_by(box: Box, wish: Mapping[str, Any]) -> str:
    """What a server is told, and which server it is, with the keys in it as a digest alone."""
    return f"{box.url} {hashlib.sha256(json.dumps(wish, sort_keys=True).encode()).hexdigest()}"


def _digest(session: Session, message_id: str) -> str:
    """The caller's id, unique over all of OpenCode's sessions: the latter part of a message's id."""
    return hashlib.sha256(f"{session.id}\0{message_id}".encode()).hexdigest()[:14]


async def _taken_up(server: Server, session: Session, digest: str) -> bool:
    """Whether the session has this message, whenever it was sent."""
    messages = await server.get(f"/session/{session.id}/message") or []
    return any(str(message["info"]["id"]).endswith(digest) for message in messages)


def _time_now() -> str:
    """How OpenCode's ids begin: 48 bits of milliseconds and a count within each.

    A message must come after what was said before it, and before the answer to it.
    """
    return f"{(int(time.time() * 1000) << 12) & (2**48 - 1):012x}"


async def _check_model(server: Server, model: ModelRef) -> None:
    """OpenCode would take the prompt and tell of an unknown model once, to whoever listens just then."""
    # The answer holds keys in clear: nothing of it may be passed on.
    known = (await server.get("/config/providers") or {}).get("providers") or ()
    for provider in known:
        if provider["id"] == model.provider:
            if model.model in provider["models"]:
                return
            reason = f"The provider {model.provider} has no model {model.model} here."
            raise RunError(
                f"{reason} Choose another, or add it to the provider under Settings.", "invalid_request"
            )
    reason = f"There is no key for the model provider {model.provider}. Add one under Settings."
    raise RunError(reason, "authentication")


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
    wait = None if until == NEVER else max(0.0, until - asyncio.get_running_loop().time())
    try:
        return await asyncio.wait_for(queue.get(), wait)
    except TimeoutError:
        return {}
