"""Which media type a client would have."""

import pytest

from openlinear.api.accept import preferred

OFFERED = ("application/json", "text/x-diff", "text/plain")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("application/json, text/plain, */*", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "application/json"),
        ("image/png", "application/json"),
        ("text/plain", "text/plain"),
        ("TEXT/PLAIN ; charset=utf-8", "text/plain"),
        ("text/*", "text/x-diff"),
        ("text/plain, */*", "text/plain"),
        ("text/plain, application/json", "text/plain"),
        ("application/json;q=0.5, text/plain", "text/plain"),
        ("text/plain;q=0.5, application/json", "application/json"),
        ("text/plain;q=0, */*;q=0.1", "application/json"),
        ("application/json;q=0, text/x-diff", "text/x-diff"),
        ("text/plain;q=x", "application/json"),
    ],
)
def test_what_is_taken_best_is_answered(accept: str, chosen: str) -> None:
    assert preferred(accept, OFFERED) == chosen
