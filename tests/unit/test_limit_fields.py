"""Limits as people see and type them."""

import pytest

from engine.limits import Limits
from openlinear.components.limits import Bound, amount, bounds_of, reached
from openlinear.services.errors import Invalid


def test_a_field_shows_its_limit_or_what_applies_without_it() -> None:
    own = Limits(wall_seconds=90, dollars=0.5)
    above = Limits(wall_seconds=1800, idle_seconds=300, attempts=5)
    shown = {bound.name: (bound.value, bound.applies) for bound in bounds_of(own, above)}
    assert shown == {
        "wall_seconds": ("1.5", "At most 30"),
        "idle_seconds": ("", "At most 5"),
        "tokens": ("", "No limit"),
        "dollars": ("0.50", "No limit"),
        "attempts": ("", "At most 5"),
    }


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("wall_seconds", " 1.5 ", 90.0),
        ("idle_seconds", "5", 300.0),
        ("tokens", "1,000,000", 1_000_000),
        ("dollars", "$0.50", 0.5),
        ("attempts", "", None),
    ],
)
def test_what_is_typed_is_read_in_its_unit(name: str, text: str, value: float | None) -> None:
    assert amount(name, text) == value


@pytest.mark.parametrize("text", ["five", "1e", "--", "1.2.3"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="enter a number"):
        amount("tokens", text)


@pytest.mark.parametrize("text", ["inf", "nan", "1e400"])
def test_what_is_no_amount_is_left_to_the_service_to_refuse(text: str) -> None:
    assert amount("tokens", text) != 0


def test_large_numbers_are_shown_as_they_are_typed() -> None:
    (bound,) = (one for one in bounds_of(Limits(tokens=1_000_000), Limits()) if one.name == "tokens")
    assert bound == Bound("tokens", "Tokens, in and out", "1000000", "No limit")
    assert amount("tokens", bound.value) == 1_000_000


def test_the_limit_that_ended_a_run_is_found_by_what_it_used() -> None:
    limits = Limits(wall_seconds=60, tokens=100, dollars=1.0)
    assert reached(limits, 100, 0.0) == "tokens"
    assert reached(limits, 99, 1.2) == "dollars"
    assert reached(limits, 99, 0.1) == "wall_seconds"
