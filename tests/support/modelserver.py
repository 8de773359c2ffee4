"""A scripted model server: real agents are driven end to end against it, offline.

A script is a list of turns, chosen by the marker `[[name]]` in the prompt; which turn comes is told by
the number of tool rounds since that marker, so that parallel sessions and retries work. A request that
offers no tools asks for a title, and any text will do.

    server.script("fix", Turn("Looking.", [Read("a.py")]), Turn("", [Edit("a.py", "1", "2")]), Turn("Done."))
    server.script("limit", Fail(429, times=2, retry_after=1), Turn("Done."))
"""

import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from engine.agents.demo_model import DONE, chunk, text_of, tool_call

MARKER = re.compile(r"\[\[([\w-]+)\]\]")
Json = dict[str, Any]


# -- what a script is made of -----------------------------------------------------------------


@dataclass(frozen=True)
class Write:
    path: str
    content: str


@dataclass(frozen=True)
class Edit:
    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Read:
    path: str


@dataclass(frozen=True)
class Bash:
    command: str


@dataclass(frozen=True)
class Ask:
    """The agent's own question tool: the run waits for a person."""

    question: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Raw:
    """A tool by its own name, with its own arguments."""

    tool: str
    arguments: Json


Call = Write | Edit | Read | Bash | Ask | Raw


@dataclass(frozen=True)
class Turn:
    """One answer of the model. `piece` is the size of the chunks, `pause` the seconds between them."""

    text: str = ""
    calls: tuple[Call, ...] | list[Call] = ()
    reasoning: str = ""
    piece: int = 20_000
    pause: float = 0.0
    delay: float = 0.0
    tokens_in: int = 100
    tokens_out: int = 10
    dropped: bool = False
    """The stream ends in the middle: no finish_reason, no [DONE]."""


@dataclass(frozen=True)
class Fail:
    """Answer with this status, `times` times (None: for ever), then go on with the next turn."""

    status: int
    times: int | None = None
    retry_after: float | None = None
    message: str = "scripted failure"


@dataclass(frozen=True)
class Hang:
    """Never answer."""


Item = Turn | Fail | Hang


def arguments_of(call: Call, offered: set[str]) -> tuple[str, Json]:
    """(tool name, arguments) of an abstract operation, in the words of the agent that offers these tools."""
    match call:
        case Write(path, content):
            return "write", {"filePath": path, "content": content}
        case Edit(path, old, new):
            return "edit", {"filePath": path, "oldString": old, "newString": new}
        case Read(path):
            return "read", {"filePath": path}
        case Bash(command):
            return "bash", {"command": command, "description": "Run a scripted command"}
        case Ask(question, options):
            choices = [{"label": option, "description": option} for option in options]
            return "question", {"questions": [{"question": question, "header": "Choice", "options": choices}]}
        case Raw(tool, arguments):
            return tool, arguments


# -- the server -------------------------------------------------------------------------------


@dataclass
class ModelServer:
    """Listens on `host`; containers reach it through their bridge's gateway address."""

    host: str = "127.0.0.1"
    key: str = "model-server-key"
    model: str = "scripted-1"
    requests: list[Json] = field(default_factory=list)
    """Bodies of the chat requests so far, titles included, in the order of their arrival."""
    scripts: dict[str, list[Item]] = field(default_factory=dict)
    failed: dict[tuple[str, int], int] = field(default_factory=dict)
    closing: threading.Event = field(default_factory=threading.Event)

    def start(self) -> "ModelServer":
        owner = self

        class Bound(Handler):
            server_of_scripts = owner

        self._http = ThreadingHTTPServer((self.host, 0), Bound)
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def close(self) -> None:
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()

    @property
    def port(self) -> int:
        return int(self._http.server_port)

    @property
    def base_url(self) -> str:
        return f"http://{self.host}:{self.port}/v1"

    def script(self, name: str, *items: Item) -> str:
        """Register a script and return its marker, to be put into the prompt."""
        self.scripts[name] = list(items)
        return f"[[{name}]]"

    def item_for(self, messages: list[Json]) -> Item:
        """The item whose turn it is. A `Fail` that has failed often enough steps aside."""
        name, rounds = "", 0
        for message in messages:
            marker = MARKER.search(text_of(message)) if message.get("role") == "user" else None
            if marker:
                name, rounds = marker.group(1), 0
            elif message.get("role") == "assistant" and message.get("tool_calls"):
                rounds += 1
        for index, item in enumerate(self.scripts.get(name, ())):
            if isinstance(item, Fail) and item.times is not None:
                tried = self.failed.get((name, index), 0)
                if rounds == 0 and tried < item.times:
                    self.failed[(name, index)] = tried + 1
                    return item
            elif rounds == 0:
                return item
            else:
                rounds -= 1
        return Turn(text=f"No script for this step: {name or 'no marker'}.")

    def stream(self, turn: Turn, offered: set[str]) -> Iterator[bytes]:
        time.sleep(turn.delay)
        for text, key in ((turn.reasoning, "reasoning_content"), (turn.text, "content")):
            for start in range(0, len(text), turn.piece):
                yield chunk(self.model, {"role": "assistant", key: text[start : start + turn.piece]})
                self.closing.wait(turn.pause) if turn.pause else None
        if turn.dropped:
            return
        for index, call in enumerate(turn.calls):
            name, arguments = arguments_of(call, offered)
            yield chunk(self.model, tool_call(index, f"call_{len(self.requests)}_{index}", name, arguments))
        usage = {"prompt_tokens": turn.tokens_in, "completion_tokens": turn.tokens_out}
        usage["total_tokens"] = turn.tokens_in + turn.tokens_out
        yield chunk(self.model, {}, "tool_calls" if turn.calls else "stop", usage)
        yield DONE


class Handler(BaseHTTPRequestHandler):
    server_of_scripts: ModelServer

    def do_GET(self) -> None:
        if self.allowed():
            model = {"id": self.server_of_scripts.model, "object": "model"}
            self.reply(200, {"object": "list", "data": [model]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        if not self.allowed():
            return
        owner = self.server_of_scripts
        owner.requests.append(body)
        offered = {tool["function"]["name"] for tool in body.get("tools") or ()}
        item = owner.item_for(body["messages"]) if offered else Turn("A title")
        if isinstance(item, Hang):
            owner.closing.wait()
        elif isinstance(item, Fail):
            headers = {} if item.retry_after is None else {"Retry-After": str(item.retry_after)}
            self.reply(item.status, {"error": {"message": item.message, "type": "scripted"}}, headers)
        else:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for piece in owner.stream(item, offered):
                self.wfile.write(piece)
                self.wfile.flush()

    def allowed(self) -> bool:
        if self.headers.get("Authorization") == f"Bearer {self.server_of_scripts.key}":
            return True
        self.reply(
            401, {"error": {"message": "Incorrect API key provided.", "type": "invalid_request_error"}}
        )
        return False

    def reply(self, status: int, body: Json, headers: dict[str, str] | None = None) -> None:
        payload = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def handle(self) -> None:
        """An agent that hangs up in the middle is part of the tests, not an error."""
        try:
            super().handle()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the tests' output clean; what was asked is in `requests`."""


@pytest.fixture
def model_server() -> Iterator[ModelServer]:
    """A model server on loopback, for this test alone."""
    server = ModelServer().start()
    yield server
    server.close()
