"""Reading OpenCode's reports, fact by fact."""

from pathlib import PurePosixPath
from typing import Any

import pytest

from engine.agents.opencode_events import PIECE_LIMIT, Reader
from engine.ports import AgentEvent, Session

SESSION = Session("ses_1", PurePosixPath("/work/run"))


def reader(**seen: str) -> Reader:
    made = Reader(SESSION, seen)
    made.catch_up([{"info": {"id": "msg_u", "role": "user"}, "parts": []}], {"type": "busy"}, [], [])
    made.feed(event("message.updated", info={"id": "msg_a", "role": "assistant", "providerID": "acme"}))
    return made


def event(kind: str, session: str = "ses_1", **properties: Any) -> dict[str, Any]:
    return {"type": kind, "properties": {"sessionID": session, **properties}}


def part(kind: str, name: str = "prt_1", message: str = "msg_a", **fields: Any) -> dict[str, Any]:
    body = {"id": name, "messageID": message, "type": kind, **fields}
    return event("message.part.updated", part=body)


def delta(text: str, name: str = "prt_1") -> dict[str, Any]:
    return event("message.part.delta", messageID="msg_a", partID=name, field="text", delta=text)


def finish(reason: str, message: str, name: str) -> dict[str, Any]:
    tokens = {"input": 7, "output": 2, "reasoning": 1, "cache": {"read": 5, "write": 0}}
    return part("step-finish", name, message, reason=reason, tokens=tokens, cost=0.25)


def told(events: list[AgentEvent]) -> list[tuple[str, str, str, str]]:
    return [(found.kind, found.part, found.state, found.text) for found in events if found.kind != "alive"]


def test_deltas_become_one_piece_with_its_offset() -> None:
    reading = reader()
    for fact in (part("text", text=""), delta("Hel"), delta("lo ")):
        assert told(reading.feed(fact)) == []
    assert told(reading.flush()) == [("text", "prt_1", "0", "Hello ")]
    reading.feed(delta("you"))
    reading.feed(part("text", text="Hello you"))
    assert told(reading.flush()) == [("text", "prt_1", "6", "you")]


def test_text_whose_deltas_were_missed_comes_from_the_whole() -> None:
    reading = reader(prt_1="6")
    reading.feed(delta("somewhere in the middle"))
    assert told(reading.flush()) == []
    reading.feed(part("text", text="Hello you", time={"start": 1, "end": 2}))
    assert told(reading.flush()) == [("text", "prt_1", "6", "you")]


def test_after_a_reconnect_deltas_are_not_trusted() -> None:
    reading = reader()
    reading.feed(part("reasoning", text=""))
    reading.feed(delta("one "))
    reading.catch_up([], {"type": "busy"}, [], [])
    reading.feed(delta("three"))
    reading.feed(part("reasoning", text="one two three", time={"start": 1, "end": 2}))
    assert told(reading.flush()) == [("reasoning", "prt_1", "4", "two three")]


def test_a_long_text_is_cut_into_pieces_without_a_gap() -> None:
    reading = reader()
    text = "x" * PIECE_LIMIT + "tail"
    reading.feed(part("text", text=text, time={"start": 1, "end": 2}))
    pieces = reading.flush()
    assert [(piece.state, len(piece.text)) for piece in pieces] == [("0", PIECE_LIMIT), (str(PIECE_LIMIT), 4)]


def test_halves_of_a_character_are_joined_and_lone_ones_replaced() -> None:
    reading = reader()
    for fact in (part("text", text=""), delta("a\ud83d"), delta("\ude80b"), delta("\udc00\0")):
        reading.feed(fact)
    (piece,) = reading.flush()
    assert piece.text == "a\N{ROCKET}b\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"
    reading.feed(delta("d"))
    assert told(reading.flush()) == [("text", "prt_1", "5", "d")]


def test_the_prompt_is_not_the_agents_text() -> None:
    reading = reader()
    reading.feed(part("text", "prt_u", "msg_u", text="Do this", time={"start": 1, "end": 2}))
    assert told(reading.flush()) == []


def test_a_tool_is_told_once_per_state_after_the_text_before_it() -> None:
    reading = reader()
    reading.feed(part("text", text=""))
    reading.feed(delta("Now."))
    given = {"filePath": "/work/run/src/app.py", "oldString": "1", "newString": "2" * 5000}
    running = part("tool", "prt_t", tool="edit", state={"status": "running", "input": given})
    assert told(reading.feed(running)) == [
        ("text", "prt_1", "0", "Now."),
        ("tool", "prt_t", "running", "edit src/app.py"),
    ]
    assert told(reading.feed(running)) == []
    state = {"status": "completed", "input": given, "output": "y" * 9000, "time": {"start": 100, "end": 350}}
    done, edit = reading.feed(part("tool", "prt_t", tool="edit", state=state))
    assert done.details["durationMs"] == 250
    assert len(done.details["output"]) < 4200
    assert len(done.details["input"]["newString"]) < 4200
    assert (edit.kind, edit.state, edit.text) == ("edit", "edit:src/app.py", "src/app.py")


def test_a_failed_tool_edits_nothing() -> None:
    reading = reader()
    state = {"status": "error", "input": {"filePath": "a"}, "error": "No", "time": {"start": 1, "end": 2}}
    running, failed = reading.feed(part("tool", tool="edit", state=state))
    assert (running.state, failed.state, failed.details["output"]) == ("running", "error", "No")


def test_usage_and_cost() -> None:
    (usage,) = reader().feed(finish("stop", "msg_a", "prt_f"))
    assert usage.details == {"tokensIn": 7, "tokensOut": 3, "tokensCached": 5, "cost": 0.25}


def test_answers_that_break_off_in_a_row_are_retries() -> None:
    reading = reader()
    attempts = []
    for number, reason in enumerate(["unknown", "unknown", "stop", "unknown"]):
        events = reading.feed(finish(reason, f"msg_{number}", f"prt_{number}"))
        attempts += [found.details["attempt"] for found in events if found.kind == "retry"]
    assert attempts == [1, 2, 1]


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Rate limit reached for gpt", "rate_limit"),
        ("Too Many Requests", "rate_limit"),
        ("Provider is overloaded", "overload"),
        ("Internal server error", "overload"),
        ("connect ECONNREFUSED 10.0.0.1:80", "network"),
        ("something else", "overload"),
    ],
)
def test_a_retry_has_its_class(message: str, kind: str) -> None:
    status = {"type": "retry", "attempt": 2, "message": message, "next": 1}
    (retry,) = reader().feed(event("session.status", status=status))
    assert (retry.part, retry.state) == ("msg_a", "retry:2")
    assert retry.details["attempt"] == 2
    assert retry.details["class"] == kind


def test_a_retry_says_how_long_the_provider_wants_to_be_waited() -> None:
    status = {"type": "retry", "attempt": 1, "message": "Too Many Requests", "next": 1_030_500}
    (retry,) = Reader(SESSION, {}, clock=lambda: 1000.0).feed(event("session.status", status=status))
    assert retry.details["waitSeconds"] == 30.5


@pytest.mark.parametrize(
    ("error", "kind", "cure"),
    [
        (
            {"name": "APIError", "data": {"statusCode": 401, "message": "bad key"}},
            "authentication",
            "key under Settings",
        ),
        (
            {"name": "ProviderAuthError", "data": {"message": "no key"}},
            "authentication",
            "key under Settings",
        ),
        (
            {"name": "APIError", "data": {"statusCode": 429, "message": "slow down"}},
            "rate_limit",
            "another model",
        ),
        ({"name": "APIError", "data": {"statusCode": 529, "message": "busy"}}, "overload", "Try again later"),
        (
            {"name": "APIError", "data": {"statusCode": 400, "message": "bad"}},
            "invalid_request",
            "refused the request",
        ),
        ({"name": "APIError", "data": {"message": "Unable to connect"}}, "network", "the network"),
        (
            {"name": "UnknownError", "data": {"message": "Model not found: a/b.\n at x"}},
            "invalid_request",
            "a/b. Choose",
        ),
        ({"name": "ContextOverflowError", "data": {"message": "too long"}}, "invalid_request", "too long"),
        (
            {"name": "UnknownError", "data": {"message": "TypeError: x\n    at y"}},
            "agent_crash",
            "TypeError: x.",
        ),
    ],
)
def test_an_error_has_a_reason_and_a_class(error: dict[str, Any], kind: str, cure: str) -> None:
    reading = reader()
    (failed,) = reading.feed(event("session.error", error=error))
    assert (failed.kind, failed.part, failed.state) == ("error", "msg_a", "error")
    assert failed.details["class"] == kind
    assert cure in failed.text
    assert " at " not in failed.text
    again = {"id": "msg_a", "role": "assistant", "error": error, "time": {"completed": 1}}
    assert told(reading.feed(event("message.updated", info=again))) == []


def test_an_abort_is_not_an_error() -> None:
    reading = reader()
    assert reading.feed(event("session.error", error={"name": "MessageAbortedError", "data": {}})) == []
    assert told(reading.feed(event("session.status", status={"type": "idle"}))) == [
        ("idle", "msg_a", "idle", "")
    ]
    assert reading.feed(event("session.status", status={"type": "idle"})) == []


def test_a_heartbeat_is_no_sign_of_life_and_a_subagent_is() -> None:
    reading = reader()
    assert reading.feed({"type": "server.heartbeat", "properties": {}}) == []
    assert reading.feed(event("session.status", "ses_child", status={"type": "idle"})) == []
    assert [found.kind for found in reading.feed(event("message.updated", "ses_child", info={}))] == ["alive"]


def test_a_subagents_ask_is_the_runs() -> None:
    ask = {
        "id": "per_1",
        "permission": "external_directory",
        "patterns": ["/etc/*"],
        "metadata": {},
        "always": [],
    }
    (asked,) = reader().feed(event("permission.asked", "ses_child", **ask))
    assert (asked.kind, asked.part, asked.state) == ("ask", "per_1", "asked")
    assert asked.text == "The agent wants to work outside its workspace: /etc/*"


def test_an_ask_that_was_settled_meanwhile_is_answered() -> None:
    question = {"id": "que_2", "sessionID": "ses_1", "questions": [{"question": "Which?"}]}
    reading = Reader(SESSION, {"que_1": "asked", "prt_1": "3"})
    assert told(reading.catch_up([], {"type": "busy"}, [], [question])) == [
        ("answered", "que_1", "answered", ""),
        ("ask", "que_2", "asked", "Which?"),
    ]


def message(role: str, parts: list[dict[str, Any]] | None = None, **info: Any) -> dict[str, Any]:
    return {"info": {"id": f"msg_{role}", "role": role, **info}, "parts": parts or []}


FAILED_TOOL = {"id": "prt_t", "messageID": "msg_assistant", "type": "tool", "tool": "question"}
FAILED_TOOL["state"] = {"status": "error", "error": "dismissed", "input": {}, "time": {"start": 1, "end": 2}}


@pytest.mark.parametrize(
    ("last", "idle"),
    [
        (message("user"), False),
        (message("assistant", time={"created": 1}), False),
        (message("assistant", time={"created": 1, "completed": 2}, finish="tool-calls"), False),
        (message("assistant", time={"created": 1, "completed": 2}, finish="stop"), True),
        (message("assistant", [FAILED_TOOL], time={"created": 1, "completed": 2}, finish="tool-calls"), True),
        (
            message("assistant", time={"created": 1, "completed": 2}, error={"name": "MessageAbortedError"}),
            True,
        ),
    ],
)
def test_whether_the_turn_had_ended(last: dict[str, Any], idle: bool) -> None:
    reading = Reader(SESSION, {})
    kinds = [found.kind for found in reading.catch_up([last], None, [], [])]
    assert ("idle" in kinds) is idle
    assert reading.unsettled is not idle
    if not idle:
        assert [found.kind for found in reading.give_up()] == ["error", "idle"]


def test_a_session_without_a_prompt_is_neither() -> None:
    reading = Reader(SESSION, {})
    assert reading.catch_up([], None, [], []) == []
    assert not reading.unsettled
