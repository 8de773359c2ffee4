"""What people type, made fit to keep."""

import pytest

from openlinear.services import text
from openlinear.services.errors import Invalid


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("  Fix \t the\r\ntotal ", "Fix the total"),
        ("bell\x07 and \x1b[31mred", "bell and [31mred"),
        ("c1 \x85 control", "c1 control"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("日本 \U0001f600", "日本 \U0001f600"),
    ],
)
def test_a_line_is_one_line_without_control_characters(given: str, kept: str) -> None:
    assert text.line(given, "title", limit=100) == kept


def test_a_block_keeps_its_lines_and_tabs() -> None:
    given = "one\r\n\ttwo\x00".replace("\x00", "\x0b") + "\n\n"
    assert text.block(given, "description", limit=100) == "one\n\ttwo"


@pytest.mark.parametrize("character", ["\0", "\ud800", "\udfff"])
def test_what_cannot_be_kept_is_refused_by_name(character: str) -> None:
    for clean in (text.line, text.block):
        with pytest.raises(Invalid) as refused:
            clean(f"a{character}b", "title", limit=100)
        assert set(refused.value.fields) == {"title"}


def test_a_limit_is_named() -> None:
    assert text.line("x" * 500, "title", limit=500) == "x" * 500
    with pytest.raises(Invalid, match="10,000 characters; 500 is the most"):
        text.line("x" * 10_000, "title", limit=500)


def test_only_what_is_needed_may_not_be_empty() -> None:
    with pytest.raises(Invalid):
        text.line(" \x01 ", "title", limit=10)
    assert text.line(" ", "q", limit=10, required=False) == ""
