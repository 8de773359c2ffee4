"""Models that refuse, fail, break off or stay mute, as OpenCode tells of them."""

from typing import Any
from uuid import uuid4

import pytest

from engine.errors import RunError
from engine.ports import ModelRef
from tests.support.modelserver import Fail, Hang, ModelServer, Turn


async def test_a_wrong_key_names_the_provider_and_the_cure(start: Any, model_server: ModelServer) -> None:
    run = await start(model_server.script("never", Turn("Never.")), key="wrong-key-of-this-test")
    await run.finish()
    (error,) = run.of("error")
    assert error.details["class"] == "authentication"
    assert run.model.provider in error.text
    assert "Check the key under Settings." in error.text
    assert "wrong-key-of-this-test" not in repr(run.events)


async def test_a_model_that_is_not_known_is_named(start: Any, model_server: ModelServer) -> None:
    run = await start(model_server.script("any", Turn("Hello.")))
    await run.finish()
    for model, kind in (
        (ModelRef(run.model.provider, "no-such-model"), "invalid_request"),
        (ModelRef("no-such-provider", "m"), "authentication"),
    ):
        with pytest.raises(RunError, match="no-such") as failed:
            await run.agent.prompt(run.server.box, run.session, str(uuid4()), "hello", model)
        assert failed.value.kind == kind
        assert "Settings" in failed.value.reason
        assert model_server.key not in repr(failed.getrepr())


async def test_a_refused_request_is_an_error(start: Any, model_server: ModelServer) -> None:
    run = await start(model_server.script("bad", Fail(400, message="context is wrong")))
    await run.finish()
    (error,) = run.of("error")
    assert error.details["class"] == "invalid_request"
    assert "context is wrong" in error.text


async def test_429_for_ever_is_told_as_retries(start: Any, model_server: ModelServer) -> None:
    run = await start(model_server.script("limit", Fail(429, retry_after=0.2, message="Rate limit reached")))
    await run.follow(lambda event: event.kind == "retry" and event.details["attempt"] == 3)
    assert [event.details["attempt"] for event in run.of("retry")] == [1, 2, 3]
    assert {event.details["class"] for event in run.of("retry")} == {"rate_limit"}
    assert not run.of("idle")


async def test_500_twice_is_survived(start: Any, model_server: ModelServer) -> None:
    run = await start(model_server.script("shaky", Fail(503, times=2, retry_after=0.2), Turn("Here.")))
    await run.finish()
    assert len(run.of("retry")) == 2
    assert list(run.texts().values()) == ["Here."]
    assert not run.of("error")


async def test_a_dropped_stream_is_told_as_retries(start: Any, model_server: ModelServer) -> None:
    run = await start(model_server.script("drop", Turn("Half a sen", dropped=True)))
    await run.follow(lambda event: event.kind == "retry" and event.details["attempt"] == 3)
    assert {event.details["class"] for event in run.of("retry")} == {"network"}


async def test_a_model_that_never_answers_gives_no_sign_of_life(
    start: Any, model_server: ModelServer
) -> None:
    run = await start(model_server.script("hang", Hang()))
    with pytest.raises(TimeoutError):
        await run.follow(lambda event: event.kind == "idle", seconds=3)
    run.events.clear()
    with pytest.raises(TimeoutError):
        await run.follow(lambda event: event.kind == "idle", seconds=3)
    assert not run.events
