"""One run of OpenCode on its real server, as the engine's workflow makes it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

import pytest

from engine.agents.opencode import OpenCode
from engine.ports import AgentEvent, ModelRef, ProviderKey, Session
from engine.settings import EngineSettings
from tests.support.modelserver import ModelServer
from tests.support.opencodeserver import OpenCodeServer

Workspaces = Callable[[Mapping[str, str] | Path], Path]


class Run:
    """One run of the agent, as the engine's workflow makes it."""

    def __init__(
        self, server: OpenCodeServer, folder: Path, provider: str, model: str = "scripted-1"
    ) -> None:
        self.server, self.folder, self.model = server, folder, ModelRef(provider, model)
        self.directory = PurePosixPath(folder)
        self.run = str(uuid4())
        self.agent = self.fresh_agent()
        self.events: list[AgentEvent] = []

    def fresh_agent(self) -> OpenCode:
        return OpenCode(self.server.sandbox, EngineSettings(demo_model_pace=0))

    async def begin(self, prompt: str) -> Session:
        self.session = await self.agent.open(self.server.box, self.directory, self.run)
        await self.agent.prompt(self.server.box, self.session, self.run, prompt, self.model)
        return self.session

    async def follow(
        self, until: Callable[[AgentEvent], bool], seen: Mapping[str, str] | None = None, seconds: float = 40
    ) -> AgentEvent:
        """Collect events up to and with the first that `until` accepts."""
        stream: Any = self.agent.events(self.server.box, self.session, seen or {})
        async with asyncio.timeout(seconds), aclosing(stream):
            async for event in stream:
                self.events.append(event)
                if until(event):
                    return event
        raise AssertionError("the stream of events ended")

    async def finish(self) -> None:
        await self.follow(lambda event: event.kind == "idle")

    def recorded(self) -> dict[str, str]:
        """What the engine's database would hold, for `seen`."""
        return {part: str(len(text)) for part, text in self.texts().items()}

    def where(self) -> dict[str, str]:
        return {"directory": str(self.folder)}

    def of(self, kind: str) -> list[AgentEvent]:
        return [event for event in self.events if event.kind == kind]

    def texts(self) -> dict[str, str]:
        """The text of each part, put together from its pieces, which must not overlap or leave a gap."""
        parts: dict[str, str] = {}
        for event in self.events:
            if event.kind == "text":
                assert int(event.state) == len(parts.get(event.part, "")), event
                parts[event.part] = parts.get(event.part, "") + event.text
        return parts


@pytest.fixture
async def start(
    opencode_server: OpenCodeServer, model_server: ModelServer, workspace: Workspaces
) -> AsyncIterator[Callable[..., Any]]:
    """Begin a run with a prompt on a small repository. Its provider is this test's model server."""
    provider = f"p{uuid4().hex[:8]}"
    begun: list[Run] = []

    async def begin(prompt: str, key: str = model_server.key) -> Run:
        run = Run(opencode_server, workspace({"app.py": "answer = 1\n"}), provider)
        keys = [ProviderKey(provider, key, model_server.base_url, ("scripted-1",))]
        await run.agent.prepare(opencode_server.box, run.directory, keys, demo=False)
        await run.begin(prompt)
        begun.append(run)
        return run

    yield begin
    for run in begun:
        await run.agent.abort(run.server.box, run.session)
