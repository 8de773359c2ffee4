"""The demo model: a scripted model endpoint, so that the product can be seen at work without an account.

It is not a language model. It speaks the OpenAI chat format on loopback and does three known cards on
the demo repository through the agent's own tools, so every edit, test and commit is real. To anything
else it says what it is and changes nothing. One file and the standard library alone: the engine sends
it into a sandbox over stdin (`python3 - STATE_FILE PACE`), where nothing of this project is installed.
"""

import json
import os
import re
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hmac import compare_digest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MODEL = "demo-1"
LABEL = "Demo model (scripted)"
Json = dict[str, Any]


# -- wire format: OpenAI chat completions, streamed -------------------------------------------


def chunk(model: str, delta: Json, finish: str | None = None, usage: Json | None = None) -> bytes:
    """One server-sent event of a streamed answer."""
    body: Json = {"id": "chatcmpl-scripted", "object": "chat.completion.chunk", "created": 0, "model": model}
    body["choices"] = [{"index": 0, "delta": delta, "finish_reason": finish}]
    if usage:
        body["usage"] = usage
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def tool_call(index: int, call_id: str, name: str, arguments: Json) -> Json:
    """The delta that calls a tool."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]}


DONE = b"data: [DONE]\n\n"


def text_of(message: Json) -> str:
    """The text of a message, which comes as a string or as a list of parts."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text") or "") for part in content if isinstance(part, dict))


# -- the scripts ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """Say something, then call a tool; its answer must hold `expect`, or the script stops."""

    say: str
    tool: str
    arguments: Json
    expect: str = ""


@dataclass(frozen=True)
class Script:
    steps: tuple[Step, ...]
    summary: str


def read(say: str, path: str, expect: str) -> Step:
    return Step(say, "read", {"filePath": path}, expect)


def edit(say: str, path: str, old: str, new: str) -> Step:
    return Step(say, "edit", {"filePath": path, "oldString": old, "newString": new})


def bash(say: str, command: str, description: str, expect: str) -> Step:
    return Step(say, "bash", {"command": command, "description": description}, expect)


def unittest(say: str, expect: str = "OK") -> Step:
    return bash(say, "python3 -m unittest -q", "Run the tests", expect)


TEST_MAIN = '\n\nif __name__ == "__main__":\n    unittest.main()\n'

ROUNDING_TESTS = """
    def test_fractions_of_a_cent_are_rounded(self) -> None:
        self.assertEqual(total([("sticker", 0.29, 1)]), 0.29)
        self.assertEqual(total([("pen", 1.15, 3)]), 3.45)
"""

DISCOUNT_CHECK = """    if not 0 <= percent <= 100:
        raise ValueError(f"a discount is 0 to 100 percent, not {percent}")
    return round("""

DISCOUNT_TESTS = """
    def test_the_limits_count(self) -> None:
        self.assertEqual(percent_off(80.00, 100), 0.00)

    def test_more_than_everything_off_is_refused(self) -> None:
        with self.assertRaisesRegex(ValueError, "not 150"):
            percent_off(80.00, 150)

    def test_less_than_nothing_off_is_refused(self) -> None:
        with self.assertRaisesRegex(ValueError, "not -10"):
            percent_off(80.00, -10)
"""

USAGE = """## Usage

    >>> from cart import percent_off, total
    >>> total([("tea", 4.50, 2), ("cup", 7.25, 1)])
    16.25
    >>> percent_off(80.00, 25)
    60.0

## Tests"""

README_TEST = (
    """import doctest
import unittest


class ReadmeTest(unittest.TestCase):
    def test_the_examples_are_true(self) -> None:
        failed, tried = doctest.testfile("../README.md", package="tests")
        self.assertEqual(failed, 0)
        self.assertGreater(tried, 0)
"""
    + TEST_MAIN
)

COMMIT = (
    "git add cart tests && git -c user.name='Demo model (scripted)' -c user.email=demo@openlinear.invalid"
    " commit -q -m 'Validate discounts' && git log --oneline -1"
)

SCRIPTS = {
    "Fix rounding in the cart total": Script(
        (
            read("First, how the total is added up.\n", "cart/prices.py", "int(price * quantity * 100)"),
            read(
                "`int()` cuts fractions off: 0.29 becomes 28 cents. Now the tests.\n",
                "tests/test_prices.py",
                "class TotalTest",
            ),
            edit(
                "First a test that shows the fault.\n",
                "tests/test_prices.py",
                TEST_MAIN,
                ROUNDING_TESTS + TEST_MAIN,
            ),
            unittest("It should fail now.\n", "FAILED"),
            edit(
                "It fails as expected. Rounding to whole cents is the fix.\n",
                "cart/prices.py",
                "int(price * quantity * 100)",
                "round(price * quantity * 100)",
            ),
            unittest("And the tests again.\n"),
        ),
        "The total is rounded to whole cents now: a sticker for 0.29 costs 0.29, and a test holds that.",
    ),
    "Validate discounts": Script(
        (
            read("I will look at the discount first.\n", "cart/discounts.py", "return round("),
            read(
                "Nothing checks it. Now its tests.\n",
                "tests/test_discounts.py",
                "class PercentOffTest",
            ),
            edit(
                "Anything outside 0 to 100 is refused from here on.\n",
                "cart/discounts.py",
                "    return round(",
                DISCOUNT_CHECK,
            ),
            edit(
                "Tests for the limits and for what lies beyond them.\n",
                "tests/test_discounts.py",
                TEST_MAIN,
                DISCOUNT_TESTS + TEST_MAIN,
            ),
            unittest("Do they pass?\n"),
            bash("They do. Now the commit.\n", COMMIT, "Commit the change", "Validate discounts"),
        ),
        "`percent_off` raises a ValueError outside 0 to 100, with tests, and that is committed.",
    ),
    "Document usage in the README": Script(
        (
            read("I will read what the README says so far.\n", "README.md", "## Tests"),
            read("Its examples should match what the package offers.\n", "cart/__init__.py", "percent_off"),
            edit("The new section goes before the one on tests.\n", "README.md", "## Tests", USAGE),
            Step(
                "A test runs the examples, so that they stay true.\n",
                "write",
                {"filePath": "tests/test_readme.py", "content": README_TEST},
            ),
            unittest("Now the whole suite.\n"),
        ),
        "The README shows how the package is used, and `tests/test_readme.py` runs its examples.",
    ),
}

UNKNOWN = (
    f"I am the {LABEL}: not a language model, only a script that knows three cards of the demo project: "
    + "; ".join(SCRIPTS)
    + ". I have changed nothing. For any other work connect a real model: add a provider's key under"
    " Settings, choose its model, and press Execute again."
)

STRAYED = (
    f"The last step did not go as my script expects, and as the {LABEL} I cannot improvise. The card may be"
    " done already, or this is not the demo repository. I stop here. With a key for a real provider under"
    " Settings the same card runs on a real model."
)


def script_for(messages: Sequence[Json]) -> Script | None:
    """The script of the card whose title stands on a line of its own in what the user said."""
    said = [text_of(message) for message in messages if message.get("role") == "user"]
    lines = {line.strip().lstrip("#").strip() for text in said for line in text.splitlines()}
    return next((script for title, script in SCRIPTS.items() if title in lines), None)


def next_step(messages: Sequence[Json]) -> Step | str:
    """What comes now, given the conversation so far: a step, or the closing words."""
    script = script_for(messages)
    if script is None:
        return UNKNOWN
    answers = [text_of(message) for message in messages if message.get("role") == "tool"]
    for step, answer in zip(script.steps, answers, strict=False):
        if step.expect not in answer or answer.startswith("Error"):
            return STRAYED
    return script.steps[len(answers)] if len(answers) < len(script.steps) else script.summary


def answer_to(request: Json, pace: float) -> Iterator[bytes]:
    """The streamed answer. A card takes 6 to 10 seconds at pace 1, none at 0."""
    messages = request.get("messages") or []
    step: Step | str = next_step(messages) if request.get("tools") else "Demo"
    words = step if isinstance(step, str) else step.say
    time.sleep(0.4 * pace)
    for word in re.findall(r"\S+\s*", words):
        yield chunk(MODEL, {"role": "assistant", "content": word})
        time.sleep(0.03 * pace)
    if isinstance(step, Step):
        time.sleep(0.3 * pace)
        yield chunk(MODEL, tool_call(0, "call_" + secrets.token_hex(8), step.tool, step.arguments))
    tokens = {"prompt_tokens": len(json.dumps(messages)) // 4, "completion_tokens": max(1, len(words) // 4)}
    finish = "tool_calls" if isinstance(step, Step) else "stop"
    yield chunk(MODEL, {}, finish, {**tokens, "total_tokens": sum(tokens.values())})
    yield DONE


# -- the endpoint -----------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    key = ""
    pace = 1.0

    def do_GET(self) -> None:
        if self.allowed():
            self.reply(200, {"object": "list", "data": [{"id": MODEL, "object": "model", "name": LABEL}]})

    def do_POST(self) -> None:
        if not self.allowed():
            return
        try:
            request = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        except ValueError:
            return self.reply(400, {"error": {"message": "The body is not JSON."}})
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for piece in answer_to(request, self.pace):
            self.wfile.write(piece)
            self.wfile.flush()

    def allowed(self) -> bool:
        given = self.headers.get("Authorization") or ""
        if compare_digest(given.encode(), f"Bearer {self.key}".encode()):
            return True
        self.reply(401, {"error": {"message": "Wrong key for the demo model."}})
        return False

    def reply(self, status: int, body: Json) -> None:
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: nobody reads this process's output."""


def serve(state: Path, pace: float) -> None:
    """Listen on a free port of loopback and leave `{port, key}` in `state`, readable by its owner alone.

    Where the sandbox shares the host's network, others can reach the port, so each box has its own key.
    """
    Handler.key, Handler.pace = secrets.token_urlsafe(32), pace
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.parent.mkdir(parents=True, exist_ok=True)
    fresh = state.with_name(state.name + ".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump({"port": server.server_port, "key": Handler.key, "pid": os.getpid()}, file)
    fresh.replace(state)
    server.serve_forever()


if __name__ == "__main__":
    serve(Path(sys.argv[1]).expanduser(), float(sys.argv[2]))
