"""The adapter where the agent's server goes away in the middle."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from engine.agents import opencode
from engine.errors import RunError
from engine.ports import ProviderKey
from tests.support.modelserver import Bash, ModelServer, Turn
from tests.support.opencoderun import Run
from tests.support.opencodeserver import OpenCodeServer


@pytest.fixture
def server(opencode_binary: Path, tmp_path: Path) -> Iterator[OpenCodeServer]:
    """A server that this test may kill."""
    server = OpenCodeServer(opencode_binary, tmp_path / "home").start()
    yield server
    server.close()


async def begun(server: OpenCodeServer, model_server: ModelServer, folder: Path) -> Run:
    run = Run(server, folder, "scripted")
    key = ProviderKey("scripted", model_server.key, model_server.base_url, ("scripted-1",))
    await run.agent.prepare(server.box, run.directory, [key], demo=False)
    await run.begin(model_server.script("work", Turn("Working.", [Bash("sleep 30")]), Turn("Never.")))
    await run.follow(lambda event: event.kind == "tool")
    return run


async def test_a_server_that_comes_back_has_lost_the_turn(
    server: OpenCodeServer,
    model_server: ModelServer,
    workspace: Callable[[Mapping[str, str] | Path], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # How long a start takes on a loaded machine is not what this is about.
    monkeypatch.setattr(opencode, "RECONNECT_SECONDS", 120.0)
    run = await begun(server, model_server, workspace({"app.py": ""}))
    following = asyncio.create_task(run.follow(lambda event: event.kind == "idle", run.recorded()))
    await asyncio.sleep(0.5)
    server.kill()
    await asyncio.to_thread(server.start)
    await following
    (error,) = run.of("error")
    assert error.details["class"] == "agent_crash"
    assert run.events[-1].kind == "idle"
    assert list(run.texts().values()) == ["Working."]


async def test_a_server_that_stays_away_is_an_agent_crash(
    server: OpenCodeServer,
    model_server: ModelServer,
    workspace: Callable[[Mapping[str, str] | Path], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(opencode, "RECONNECT_SECONDS", 1.0)
    run = await begun(server, model_server, workspace({"app.py": ""}))
    server.kill()
    with pytest.raises(RunError, match="does not answer") as failed:
        await run.finish()
    assert failed.value.kind == "agent_crash"
    with pytest.raises(RunError) as refused:
        await run.agent.abort(server.box, run.session)
    assert server.password not in repr(refused.value)
