"""What OpenCode reports, read into the engine's events. No input or output here: facts in, events out.

The stream has no replay, so a reader is fed both what the session holds (`catch_up`, after every
connection) and what the stream brings (`feed`); whatever was said before is recognised and left out.
Text is kept in buffers until `flush`, so that many small deltas become one event.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from engine.agents.opencode_errors import ABORTED, class_of_message, failure, first_line
from engine.agents.opencode_tools import edited_paths, storable, title_of, trimmed
from engine.ports import AgentEvent, Session

Json = Mapping[str, Any]
OUTPUT_LIMIT = 4096
PIECE_LIMIT = 32_768
BROKEN_OFF = "The model's answer broke off before its end."
_TextKind = Literal["text", "reasoning"]


class Reader:
    """The state of reading one session. `seen` is that of `Agent.events`; `clock` gives Unix time."""

    def __init__(
        self, session: Session, seen: Mapping[str, str], clock: Callable[[], float] = time.time
    ) -> None:
        self.session = session
        self._clock = clock
        self.offsets = {part: int(offset) for part, offset in seen.items() if offset.isdigit()}
        self.open_asks = {part for part, state in seen.items() if state == "asked"}
        self.unsettled = False
        """The turn seems to have ended without a word: neither busy, nor with an answer."""
        self._said: set[tuple[str, str]] = set()
        self._roles: dict[str, str] = {}
        self._message = session.id
        self._provider = ""
        self._buffers: dict[str, tuple[_TextKind, str]] = {}
        self._kinds: dict[str, _TextKind] = {}
        self._streams: dict[str, int] = {}
        """Parts whose beginning this connection saw, and how much of them it has brought: only
        there is it known where a delta belongs."""
        self._halves: dict[str, str] = {}
        self._with_tools: set[str] = set()
        self._broken_off = 0

    # -- the two ways in ----------------------------------------------------------------------

    def catch_up(
        self,
        messages: Sequence[Json],
        status: Json | None,
        permissions: Sequence[Json],
        questions: Sequence[Json],
    ) -> list[AgentEvent]:
        """What the session holds now. `status` is None when it is idle."""
        self._streams.clear()
        self._halves.clear()
        events: list[AgentEvent] = []
        for message in messages:
            events += self._on_message(message["info"])
            for part in message["parts"]:
                events += self._sorted_out(self._on_part(part, live=False))
        events += self.flush()
        still_open = {str(ask["id"]) for ask in (*permissions, *questions)}
        for settled in sorted(self.open_asks - still_open):
            events += self._answered(settled, {})
        for permission in permissions:
            events += self._on_permission(permission)
        for question in questions:
            events += self._on_question(question)
        if status is not None:
            self.unsettled = False
            return events + self._on_status(status)
        done = bool(messages) and _turn_over(messages[-1])
        self.unsettled = bool(messages) and not done
        return events + (self._idle() if done else [])

    def feed(self, event: Json) -> list[AgentEvent]:
        """One event of the stream. Text goes to the buffers; anything else flushes them first."""
        kind, body = str(event.get("type")), event.get("properties") or {}
        found: list[AgentEvent] = []
        if kind.startswith(("permission.", "question.")):
            # The stream is that of one directory, which is one run's, so a subagent's ask is the run's too.
            found = self._on_ask(kind, body)
        elif body.get("sessionID") == self.session.id:
            found = self._on_session(kind, body)
        if not found and kind.startswith("message."):
            return [ALIVE]
        return self._sorted_out(found)

    def _on_session(self, kind: str, body: Json) -> list[AgentEvent]:
        match kind:
            case "message.part.delta":
                self._on_delta(body)
            case "message.part.updated":
                return self._on_part(body["part"], live=True)
            case "message.updated":
                return self._on_message(body["info"])
            case "session.status":
                return self._on_status(body["status"])
            case "session.error":
                return self._on_error(body.get("error") or {})
        return []

    def flush(self) -> list[AgentEvent]:
        """The text that came since the last flush."""
        events = []
        for part, (kind, text) in self._buffers.items():
            start = self.offsets[part] - len(text)
            for cut in range(0, len(text), PIECE_LIMIT):
                events.append(AgentEvent(kind, part, str(start + cut), text[cut : cut + PIECE_LIMIT]))
        self._buffers.clear()
        return events

    def give_up(self) -> list[AgentEvent]:
        """The turn ended without a word and stays so."""
        reason = "The agent stopped in the middle of its work: its server was restarted. Run it again."
        error = AgentEvent("error", self._message, "error", reason, {"class": "agent_crash"})
        return self._new(error) + self._idle()

    @property
    def holds_text(self) -> bool:
        return bool(self._buffers)

    # -- messages and parts -------------------------------------------------------------------

    def _on_message(self, info: Json) -> list[AgentEvent]:
        first = info["id"] not in self._roles
        self._roles[info["id"]] = info["role"]
        if info["role"] == "user":
            if first:
                self._message = info["id"]
            return []
        if info["id"] != self._message and not info.get("time", {}).get("completed"):
            self.unsettled = False
        self._message, self._provider = info["id"], str(info.get("providerID") or "")
        error = info.get("error")
        return self._on_error(error) if error else []

    def _on_part(self, part: Json, live: bool) -> list[AgentEvent]:
        if self._roles.get(part["messageID"]) == "user":
            return []
        match part["type"]:
            case "text" | "reasoning":
                self._on_text(part, live)
            case "tool":
                self._with_tools.add(part["messageID"])
                return self._on_tool(part)
            case "step-finish":
                return self._on_step_finish(part)
        return []

    def _on_text(self, part: Json, live: bool) -> None:
        text = storable(part.get("text") or "")
        if live and not text and not (part.get("time") or {}).get("end"):
            self._streams[part["id"]], self._kinds[part["id"]] = 0, part["type"]
            return
        self._streams.pop(part["id"], None)
        self._add(part["id"], part["type"], text, 0)

    def _on_delta(self, body: Json) -> None:
        part = body["partID"]
        if body.get("field") != "text" or part not in self._streams:
            return
        text = self._halves.pop(part, "") + body["delta"]
        if text and "\ud800" <= text[-1] <= "\udbff":
            self._halves[part], text = text[-1], text[:-1]
        text = storable(text)
        self._add(part, self._kinds[part], text, self._streams[part])
        self._streams[part] += len(text)

    def _add(self, part: str, kind: _TextKind, text: str, start: int) -> None:
        """Buffer what of this text, which begins at `start` of the part, was not told yet."""
        told = self.offsets.get(part, 0)
        new = text[max(0, told - start) :]
        if new:
            self._buffers[part] = (kind, self._buffers.get(part, (kind, ""))[1] + new)
            self.offsets[part] = told + len(new)

    def _on_tool(self, part: Json) -> list[AgentEvent]:
        state, tool = part["state"], str(part["tool"])
        status, given = state["status"], state.get("input") or {}
        if status not in ("running", "completed", "error"):
            return []
        details: dict[str, Any] = {"tool": tool, "input": trimmed(given, OUTPUT_LIMIT)}
        title = title_of(tool, given, self.session.directory)
        events = self._new(AgentEvent("tool", part["id"], "running", title, dict(details)))
        if status == "running":
            return events
        details["output"] = trimmed(
            state.get("output") if status == "completed" else state.get("error"), OUTPUT_LIMIT
        )
        details["durationMs"] = state["time"]["end"] - state["time"]["start"]
        events += self._new(AgentEvent("tool", part["id"], status, title, details))
        if status == "completed":
            for path in edited_paths(tool, given, state.get("metadata") or {}, self.session.directory):
                events += self._new(AgentEvent("edit", part["id"], f"edit:{path}", path))
        return events

    def _on_step_finish(self, part: Json) -> list[AgentEvent]:
        tokens = part["tokens"]
        details = {
            "tokensIn": int(tokens["input"]),
            "tokensOut": int(tokens["output"]) + int(tokens.get("reasoning") or 0),
            "tokensCached": int(tokens["cache"]["read"]),
            "cost": float(part.get("cost") or 0),
        }
        events = self._new(AgentEvent("usage", part["id"], "usage", "", details))
        # A stream that ended without a reason: OpenCode asks the model again at once, for ever and without
        # a word. It is reported as the retry that it is.
        if part.get("reason") != "unknown" or part["messageID"] in self._with_tools:
            self._broken_off = 0
        elif events:
            self._broken_off += 1
            events += self._retry(part["id"], self._broken_off, BROKEN_OFF, "network")
        return events

    # -- status, errors, asks -----------------------------------------------------------------

    def _on_status(self, status: Json) -> list[AgentEvent]:
        if status["type"] == "idle":
            return self._idle()
        self.unsettled = False
        if status["type"] != "retry":
            return []
        said = first_line(str(status.get("message") or "The model did not answer"))
        # When it asks again, in milliseconds: the provider's Retry-After, or the agent's own back-off.
        wait = float(status.get("next") or 0) / 1000 - self._clock()
        kind = class_of_message(said, "overload")
        return self._retry(self._message, int(status["attempt"]), said, kind, wait)

    def _retry(self, part: str, attempt: int, said: str, kind: str, wait: float = 0.0) -> list[AgentEvent]:
        details: dict[str, Any] = {"attempt": attempt, "error": said, "class": kind}
        if wait > 0:
            details["waitSeconds"] = round(wait, 1)
        return self._new(AgentEvent("retry", part, f"retry:{attempt}", said, details))

    def _on_error(self, error: Json) -> list[AgentEvent]:
        if error.get("name") == ABORTED:
            return []
        reason, kind = failure(error, self._provider)
        return self._new(AgentEvent("error", self._message, "error", reason, {"class": kind}))

    def _idle(self) -> list[AgentEvent]:
        self.unsettled = False
        return self._new(AgentEvent("idle", self._message, "idle"))

    def _on_ask(self, kind: str, body: Json) -> list[AgentEvent]:
        match kind:
            case "permission.asked":
                return self._on_permission(body)
            case "question.asked":
                return self._on_question(body)
            case "permission.replied":
                return self._answered(body["requestID"], {"reply": body.get("reply")})
            case "question.replied":
                return self._answered(body["requestID"], {"answers": body.get("answers")})
            case "question.rejected":
                return self._answered(body["requestID"], {"reject": True})
        return []

    def _on_permission(self, ask: Json) -> list[AgentEvent]:
        patterns = [storable(str(pattern)) for pattern in ask.get("patterns") or ()]
        details = {"ask": "permission", "permission": ask["permission"], "patterns": patterns}
        details["metadata"] = trimmed(ask.get("metadata") or {}, OUTPUT_LIMIT)
        words = {
            "external_directory": "work outside its workspace",
            "doom_loop": "repeat the same step once more",
        }
        wants = words.get(ask["permission"], f"use {ask['permission']}")
        self.open_asks.add(ask["id"])
        return self._new(
            AgentEvent(
                "ask", ask["id"], "asked", f"The agent wants to {wants}: {', '.join(patterns)}", details
            )
        )

    def _on_question(self, ask: Json) -> list[AgentEvent]:
        questions = trimmed(ask["questions"], OUTPUT_LIMIT)
        details = {"ask": "question", "questions": questions}
        self.open_asks.add(ask["id"])
        text = "\n".join(str(question["question"]) for question in questions)
        return self._new(AgentEvent("ask", ask["id"], "asked", text, details))

    def _answered(self, ask: str, details: Json) -> list[AgentEvent]:
        self.open_asks.discard(ask)
        return self._new(AgentEvent("answered", ask, "answered", "", details))

    # -- telling things once ------------------------------------------------------------------

    def _new(self, event: AgentEvent) -> list[AgentEvent]:
        if (event.part, event.state) in self._said:
            return []
        self._said.add((event.part, event.state))
        return [event]

    def _sorted_out(self, events: Iterable[AgentEvent]) -> list[AgentEvent]:
        """These events, after the text that came before them."""
        found = list(events)
        return self.flush() + found if found else []


ALIVE = AgentEvent("alive", "")


def _turn_over(message: Json) -> bool:
    """Whether this message, the last of a session that is not busy, ended its turn.

    A question turned down ends it as well: then it is the tool that failed.
    """
    info = message["info"]
    if info["role"] != "assistant" or not info.get("time", {}).get("completed"):
        return False
    if info.get("error") or info.get("finish") not in (None, "tool-calls", "unknown"):
        return True
    return any(part["type"] == "tool" and part["state"]["status"] == "error" for part in message["parts"])
