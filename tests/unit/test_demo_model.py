"""The demo model by itself: which script it follows, when it stops, and who may ask it."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.agents import demo_model
from engine.agents.demo_cards import CARDS, LABEL, MODEL
from engine.agents.demo_model import SCRIPTS, STRAYED, UNKNOWN, Step, next_step


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def test_it_knows_exactly_the_cards() -> None:
    assert [title for title, _ in CARDS] == list(SCRIPTS)
    assert (demo_model.MODEL, demo_model.LABEL) == (MODEL, LABEL)


@pytest.mark.parametrize("prompt", ["{}", "# {}\n\nIt matters.", "\n{}\nLabels: a, b"])
@pytest.mark.parametrize("title", SCRIPTS)
def test_a_card_is_known_by_its_title(title: str, prompt: str) -> None:
    parts = [{"type": "text", "text": prompt.format(title)}]
    assert next_step([{"role": "user", "content": parts}]) == SCRIPTS[title].steps[0]


@pytest.mark.parametrize("prompt", ["", "Hello", "Do not Validate discounts", "validate discounts"])
def test_anything_else_is_declined(prompt: str) -> None:
    assert next_step([user(prompt)]) == UNKNOWN


def test_it_stops_where_an_answer_is_not_what_the_script_expects() -> None:
    title = "Validate discounts"
    first = next_step([user(title)])
    assert isinstance(first, Step)
    good: dict[str, Any] = {"role": "tool", "content": f"1: {first.expect}"}
    assert next_step([user(title), good]) == SCRIPTS[title].steps[1]
    assert next_step([user(title), {"role": "tool", "content": "File not found"}]) == STRAYED


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Path]:
    """The demo model as the sandbox runs it: from stdin, alone, with its state file."""
    state = tmp_path / "deep" / "state.json"
    source = Path(demo_model.__file__).read_bytes()
    argv = [sys.executable, "-I", "-", str(state), "0"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(source)
        process.stdin.close()
        deadline = time.monotonic() + 10
        while not state.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        yield state
        process.kill()


def test_it_answers_its_own_key_alone(served: Path) -> None:
    assert served.stat().st_mode & 0o777 == 0o600
    told = json.loads(served.read_text())
    base = f"http://127.0.0.1:{told['port']}/v1"
    good = {"Authorization": f"Bearer {told['key']}"}
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer \xe9".encode("latin-1")},
    ):
        assert httpx.get(f"{base}/models", headers=headers).status_code == 401
        assert httpx.post(f"{base}/chat/completions", headers=headers, json={}).status_code == 401
    (model,) = httpx.get(f"{base}/models", headers=good).json()["data"]
    assert model["name"] == LABEL
    assert httpx.post(f"{base}/chat/completions", headers=good, content=b"{").status_code == 400


def test_it_streams_text_a_tool_call_and_usage(served: Path) -> None:
    told = json.loads(served.read_text())
    body = {"messages": [user("Validate discounts")], "tools": [{"type": "function"}]}
    answer = httpx.post(
        f"http://127.0.0.1:{told['port']}/v1/chat/completions",
        headers={"Authorization": f"Bearer {told['key']}"},
        json=body,
    )
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    assert lines[-1] == "[DONE]"
    chunks = [json.loads(line) for line in lines[:-1]]
    choices = [chunk["choices"][0] for chunk in chunks]
    step = SCRIPTS["Validate discounts"].steps[0]
    assert "".join(choice["delta"].get("content", "") for choice in choices) == step.say
    (call,) = [choice["delta"]["tool_calls"][0] for choice in choices if "tool_calls" in choice["delta"]]
    assert call["function"]["name"] == "read"
    assert json.loads(call["function"]["arguments"]) == step.arguments
    assert choices[-1]["finish_reason"] == "tool_calls"
    assert chunks[-1]["usage"]["prompt_tokens"] > 0
