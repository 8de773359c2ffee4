"""What OpenCode says when a turn fails or is retried, as a reason for a person and a class."""

import re
from collections.abc import Mapping
from typing import Any

from engine.errors import Class

ABORTED = "MessageAbortedError"

_WORDS: tuple[tuple[Class, str], ...] = (
    ("rate_limit", r"rate.?limit|too.?many|\b429\b|quota|usage limit"),
    (
        "network",
        r"econn|enotfound|fetch failed|socket|network|(unable to|cannot) connect|time.?out",
    ),
    ("overload", r"overload|unavailable|exhausted|\b5\d\d\b|server error|bad gateway"),
    ("authentication", r"api.?key|unauthori[sz]ed|authentication|forbidden|\b40[13]\b"),
)


def class_of_message(message: str, otherwise: Class) -> Class:
    """The class that a provider's words suggest, where there is no status code to go by."""
    lowered = message.lower()
    return next((kind for kind, pattern in _WORDS if re.search(pattern, lowered)), otherwise)


def class_of_status(status: int) -> Class:
    if status in (401, 403):
        return "authentication"
    if status == 429:
        return "rate_limit"
    return "overload" if status >= 500 else "invalid_request"


def failure(error: Mapping[str, Any], provider: str) -> tuple[str, Class]:
    """(reason, class) of an error that OpenCode attached to a message or a session."""
    name = str(error.get("name") or "")
    data = error.get("data") or {}
    said = first_line(str(data.get("message") or name))
    status = data.get("statusCode")
    if name == "ProviderAuthError":
        kind: Class = "authentication"
    elif isinstance(status, int):
        kind = class_of_status(status)
    elif "Model not found" in said:
        return (
            f"{said} Choose one of the models named under Settings, or add it there.",
            "invalid_request",
        )
    elif name in ("ContextOverflowError", "MessageOutputLengthError", "ContentFilterError"):
        kind = "invalid_request"
    else:
        kind = class_of_message(said, "network" if name == "APIError" else "agent_crash")
    return f"{_what_happened(kind, provider)} It said: {said}{_cure(kind)}", kind


def _what_happened(kind: Class, provider: str) -> str:
    who = f"The model provider {provider}" if provider else "The model provider"
    return {
        "authentication": f"{who} refused the key.",
        "rate_limit": f"{who} asks to wait: its rate limit is reached.",
        "overload": f"{who} has trouble of its own.",
        "invalid_request": f"{who} refused the request.",
        "network": f"{who} could not be reached.",
    }.get(kind, "The agent stopped with an error.")


def _cure(kind: Class) -> str:
    return {
        "authentication": " Check the key under Settings.",
        "rate_limit": " Wait a while, or use another model.",
        "overload": " Try again later, or use another model.",
        "network": " Check the provider's address under Settings, and the network.",
    }.get(kind, "")


def first_line(text: str, limit: int = 300) -> str:
    """The first line, ended by a full stop, without the stack trace that may follow."""
    line = text.strip().split("\n", 1)[0].strip()[:limit]
    return line if line.endswith((".", "!", "?")) else line + "."
