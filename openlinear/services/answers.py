"""What an agent asks of a person, and what counts as an answer."""

from typing import Any

from engine.client import AskView as EngineAsk
from openlinear.services.errors import Invalid
from openlinear.services.views import AskOption, AskQuestion, AskView

REPLIES = {"once": "Allow once", "always": "Always allow", "reject": "Reject"}
TEXT_LIMIT = 10_000


def view(ask: EngineAsk) -> AskView:
    """An ask as the board shows it."""
    if ask.kind == "permission":
        replies = tuple(AskOption(label) for label in REPLIES.values())
        return AskView(ask.id, ask.run_id, ask.kind, ask.text, replies, False, ask.asked_at)
    questions = tuple(_asked(question) for question in _questions(ask))
    first = questions[0] if questions else AskQuestion(ask.text, (), False)
    return AskView(
        ask.id, ask.run_id, ask.kind, ask.text, first.options, first.multiple, ask.asked_at, questions
    )


def _asked(question: dict[str, Any]) -> AskQuestion:
    options = tuple(
        AskOption(str(option.get("label", "")), str(option.get("description", "")))
        for option in question.get("options") or []
    )
    text, multiple = str(question.get("question", "")), bool(question.get("multiple"))
    return AskQuestion(text, options, multiple, custom=not options or question.get("custom") is not False)


def checked(ask: EngineAsk, given: dict[str, Any]) -> dict[str, Any]:
    """The answer in the engine's shape, or Invalid."""
    return _permission(given) if ask.kind == "permission" else _question(ask, given)


def _permission(given: dict[str, Any]) -> dict[str, Any]:
    reply, message = given.get("reply"), given.get("message")
    if not isinstance(reply, str) or reply not in REPLIES:
        raise Invalid(
            "Answer a permission with once, always or reject.", reply="must be once, always or reject"
        )
    if message is None:
        return {"reply": reply}
    if not _text(message):
        raise Invalid("The message is not plain text.", message="must be plain text")
    return {"reply": reply, "message": message}


def _question(ask: EngineAsk, given: dict[str, Any]) -> dict[str, Any]:
    if given.get("reject") is True:
        return {"reject": True}
    answers = given.get("answers")
    questions = [_asked(question) for question in _questions(ask)] or [AskQuestion(ask.text, (), False)]
    shaped = isinstance(answers, list) and len(answers) == len(questions)
    if not shaped or not all(isinstance(a, list) and a and all(map(_text, a)) for a in answers or []):
        reason = f"must be {len(questions)} list(s) of texts, one for each question"
        raise Invalid("The answer does not fit the question.", answers=reason)
    for question, chosen in zip(questions, answers or [], strict=True):
        _fits(question, chosen)
    return {"answers": answers}


def _fits(question: AskQuestion, chosen: list[str]) -> None:
    if len(chosen) > 1 and not question.multiple:
        raise Invalid("Choose one answer to the question.", answers="must hold one text for this question")
    if not question.custom and not {option.label for option in question.options}.issuperset(chosen):
        raise Invalid("Choose from the answers offered.", answers="must be labels of the question's options")


def _questions(ask: EngineAsk) -> list[dict[str, Any]]:
    questions = ask.details.get("questions")
    if isinstance(questions, list):
        return [question for question in questions if isinstance(question, dict)]
    return [ask.details]


def _text(value: object) -> bool:
    return (
        isinstance(value, str)
        and len(value) <= TEXT_LIMIT
        and "\0" not in value
        and not any("\ud800" <= c <= "\udfff" for c in value)
    )
