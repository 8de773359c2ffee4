"""Log lines: whose they are, one to a line, and no secret among them."""

import asyncio
import io
import json
import logging
import sys
from collections.abc import Callable, Iterator

import pytest

from engine import logs
from engine.logs import HIDDEN, known_secrets, run_context

SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQ"
Logger = Callable[[str], tuple[logging.Logger, io.StringIO]]


@pytest.fixture
def logger(monkeypatch: pytest.MonkeyPatch) -> Iterator[Logger]:
    """A logger that writes as a worker called w1 does, and what it has written."""
    made: list[logging.Logger] = []

    def make(form: str) -> tuple[logging.Logger, io.StringIO]:
        monkeypatch.setenv("LOG_FORMAT", form)
        monkeypatch.setenv("OPENLINEAR_SECRET_KEY", SECRET)
        monkeypatch.setattr(sys, "stderr", written := io.StringIO())
        log = logging.getLogger(f"tests.logs.{form}")
        log.handlers[:], log.propagate = [logs.handler("worker", "w1")], False
        log.setLevel(logging.INFO)
        made.append(log)
        return log, written

    yield make
    for log in made:
        log.handlers.clear()


def test_a_json_line_says_when_where_and_whose(logger: Logger) -> None:
    log, written = logger("json")
    with run_context("r-1"):
        log.warning("the %s is late", "agent")
    line = json.loads(written.getvalue())
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "warning",
        "logger": "tests.logs.json",
        "message": "the agent is late",
        "process": "worker",
        "worker": "w1",
        "run_id": "r-1",
    }


async def test_runs_at_once_are_told_apart(logger: Logger) -> None:
    log, written = logger("json")

    async def step(run: str) -> None:
        with run_context(run):
            await asyncio.sleep(0)
            await asyncio.gather(asyncio.to_thread(log.info, run), asyncio.create_task(_say(log, run)))

    await asyncio.gather(*(step(f"r-{n}") for n in range(5)))
    log.info("outside")
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert len(lines) == 11
    assert all(line["run_id"] == line["message"] for line in lines[:-1])
    assert "run_id" not in lines[-1]


async def _say(log: logging.Logger, text: str) -> None:
    log.info(text)


def test_nothing_logged_begins_a_line_of_its_own(logger: Logger) -> None:
    log, written = logger("text")
    log.info("one\n2026-01-01 00:00:00.000 ERROR engine: forged\u2028and again")
    try:
        raise ValueError("two\n2026-01-01 00:00:00.000 ERROR engine: forged")
    except ValueError:
        log.exception("it broke")
    lines = written.getvalue().splitlines()
    assert [line for line in lines if not line.startswith("  ")] == [lines[0], lines[1]]
    assert "it broke" in lines[1]
    assert any("ValueError: two" in line for line in lines)


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    ("said", "secret"),
    [
        (f"the key is {SECRET}", SECRET),
        ("cloning https://ada:hunter22@example.org/cart.git", "hunter22"),
        ("Authorization: Bearer abcdef0123456789", "abcdef0123456789"),
        ("pushed with ghp_0123456789abcdefghij", "ghp_0123456789abcdefghij"),
        ("asked with olp_0123456789abcdefghij", "olp_0123456789abcdefghij"),
        ("GET /x?token=0123456789abcdef HTTP/1.1", "0123456789abcdef"),
        ("a key sk-proj-0123456789", "sk-proj-0123456789"),
        ("refused:\nDETAIL:  Failing row contains (1, a prompt).", "a prompt"),
    ],
)
def test_secrets_are_hidden(logger: Logger, form: str, said: str, secret: str) -> None:
    log, written = logger(form)
    log.info("%s", said)
    try:
        raise RuntimeError(said)
    except RuntimeError:
        log.exception("it broke")
    assert secret not in written.getvalue()
    assert written.getvalue().count(HIDDEN) == 2


def test_secrets_of_the_environment() -> None:
    environ = {
        "OPENLINEAR_SECRET_KEY": "new-key-new-key,old-key-old-key",
        "DATABASE_URL": "postgresql://ol:p%40ssw0rd-long@db/ol",
        "METRICS_TOKEN": "metrics-metrics",
        "HOME": "/home/somebody",
        "GITHUB_CLIENT_SECRET": "",
    }
    found = known_secrets(environ)
    for one in ("new-key-new-key", "old-key-old-key", "p@ssw0rd-long", "p%40ssw0rd-long", "metrics-metrics"):
        assert one in found
    assert "/home/somebody" not in found
    assert "" not in found


def test_a_query_is_not_logged_by_the_web_server(logger: Logger) -> None:
    log, written = logger("text")
    access = logging.getLogger("uvicorn.access")
    access.handlers[:] = log.handlers
    try:
        access.warning('%s - "%s %s HTTP/%s" %d', "127.0.0.1", "GET", "/callback?code=x&state=y", "1.1", 200)
    finally:
        access.handlers.clear()
    assert '"GET /callback HTTP/1.1" 200' in written.getvalue()
