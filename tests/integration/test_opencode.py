"""The OpenCode adapter on the real server, driven by a scripted model."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

import pytest

from engine.agents.opencode import OpenCode
from engine.errors import RunError
from engine.ports import AgentEvent, ModelRef, ProviderKey, Session
from engine.settings import EngineSettings
from tests.support.modelserver import Ask, Bash, Edit, Fail, Hang, ModelServer, Read, Turn, Write
from tests.support.opencodeserver import OpenCodeServer

Workspaces = Callable[[Mapping[str, str] | Path], Path]


class Run:
    """One run of the agent, as the engine's workflow makes it."""

    def __init__(self, server: OpenCodeServer, folder: Path, provider: str, model: str = "scripted-1") -> None:
        self.server, self.folder, self.model = server, folder, ModelRef(provider, model)
        self.run = str(uuid4())
        self.agent = self.fresh_agent()
        self.events: list[AgentEvent] = []

    def fresh_agent(self) -> OpenCode:
        return OpenCode(self.server.sandbox, EngineSettings(demo_model_pace=0))

    async def begin(self, prompt: str) -> Session:
        self.session = await self.agent.open(self.server.box, PurePosixPath(self.folder), self.run)
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

    async def begin(prompt: str, key: str = model_server.key, model: str = "scripted-1") -> Run:
        run = Run(opencode_server, workspace({"app.py": "answer = 1\n"}), provider, model)
        keys = [ProviderKey(provider, key, model_server.base_url, ("scripted-1",))]
        await run.agent.prepare(opencode_server.box, keys, demo=False)
        await run.begin(prompt)
        begun.append(run)
        return run

    yield begin
    for run in begun:
        await run.agent.abort(run.server.box, run.session)


async def test_it_edits_a_file_and_tells_what_it_does(start: Any, model_server: ModelServer) -> None:
    mark = model_server.script(
        "edit",
        Turn("Looking.", [Read("app.py")], reasoning="Where is it?"),
        Turn("", [Edit("app.py", "1", "42"), Bash("python3 app.py")]),
        Turn("The answer is 42."),
    )
    run = await start(f"{mark} fix it")
    await run.finish()

    assert (run.folder / "app.py").read_text() == "answer = 42\n"
    assert list(run.texts().values()) == ["Looking.", "The answer is 42."]
    assert "".join(event.text for event in run.of("reasoning")) == "Where is it?"
    tools = [(event.state, event.text) for event in run.of("tool")]
    for title in ("read app.py", "edit app.py", "run python3 app.py"):
        assert ("running", title) in tools
        assert ("completed", title) in tools
    assert [event.text for event in run.of("edit")] == ["app.py"]
    assert [event.details["tokensIn"] for event in run.of("usage")] == [100, 100, 100]
    done = next(event for event in run.of("tool") if event.text == "run python3 app.py" and event.state != "running")
    assert done.details["durationMs"] >= 0
    assert done.details["output"] == "(no output)"
    assert not run.of("error")
