"""What counts as an answer to an agent."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from engine.client import AskView
from openlinear.services import answers
from openlinear.services.errors import Invalid

OPTIONS = [{"label": "A", "description": "the first"}, {"label": "B"}]


def ask(kind: str, **details: Any) -> AskView:
    return AskView(uuid4(), uuid4(), kind, "May it?", details, datetime.now(UTC))


PERMISSION = ask("permission")
ONE = ask("question", questions=[{"question": "Which?", "options": OPTIONS, "multiple": True}])
TWO = ask("question", questions=[{"options": OPTIONS}, {"options": OPTIONS}])
CLOSED = ask("question", questions=[{"options": OPTIONS, "custom": False}])
BARE = ask("question", options=OPTIONS)


def test_a_question_shows_its_options() -> None:
    view = answers.view(ONE)
    assert [(option.label, option.description) for option in view.options] == [("A", "the first"), ("B", "")]
    assert view.multiple
    assert [option.label for option in answers.view(BARE).options] == ["A", "B"]
    assert len(answers.view(PERMISSION).options) == 3
    assert [len(question.options) for question in answers.view(TWO).questions] == [2, 2]


@pytest.mark.parametrize(
    ("to", "given"),
    [
        (PERMISSION, {"reply": "once"}),
        (PERMISSION, {"reply": "reject", "message": "Not there."}),
        (ONE, {"answers": [["A", "B"]]}),
        (TWO, {"answers": [["A"], ["something else"]]}),
        (BARE, {"answers": [["A"]]}),
        (CLOSED, {"answers": [["B"]]}),
        (ONE, {"reject": True}),
    ],
)
def test_answers_that_fit(to: AskView, given: dict[str, Any]) -> None:
    assert answers.checked(to, {**given, "unknown": 1}) == given


@pytest.mark.parametrize(
    ("to", "given"),
    [
        (PERMISSION, {}),
        (PERMISSION, {"reply": "yes"}),
        (PERMISSION, {"reply": ["once"]}),
        (PERMISSION, {"reply": "reject", "message": "nul\0"}),
        (PERMISSION, {"answers": [["A"]]}),
        (ONE, {"answers": "A"}),
        (ONE, {"answers": ["A"]}),
        (ONE, {"answers": [[]]}),
        (ONE, {"answers": [[1]]}),
        (ONE, {"answers": [["\ud800"]]}),
        (TWO, {"answers": [["A"]]}),
        (TWO, {"answers": [["A", "B"], ["A"]]}),
        (CLOSED, {"answers": [["C"]]}),
        (ONE, {"reject": False}),
    ],
)
def test_answers_that_do_not_fit(to: AskView, given: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        answers.checked(to, given)
