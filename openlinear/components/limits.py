"""The limits of a run as people set them: fields in minutes and dollars; an empty one sets no limit."""

from dataclasses import dataclass
from typing import Any

import reflex as rx

from engine.limits import Limits
from openlinear.services.errors import Invalid

MINUTE = 60
KINDS = (
    ("wall_seconds", "Working time, minutes"),
    ("idle_seconds", "Time without a sign of life, minutes"),
    ("tokens", "Tokens, in and out"),
    ("dollars", "Cost, US dollars"),
    ("attempts", "Attempts"),
)


@dataclass(frozen=True)
class Bound:
    """One field; `applies` is what holds while it is empty."""

    name: str = ""
    label: str = ""
    value: str = ""
    applies: str = ""


def bounds_of(own: Limits, above: Limits) -> list[Bound]:
    """The fields for these limits, under those that hold anyway."""
    bounds = []
    for name, label in KINDS:
        most = _text(name, getattr(above, name))
        value = _text(name, getattr(own, name))
        bounds.append(Bound(name, label, value, f"At most {most}" if most else "No limit"))
    return bounds


def amount(name: str, text: str) -> float | None:
    """What was typed, as services take it; None for nothing. Invalid when it is no number."""
    text = text.strip().lstrip("$").replace(",", "").replace(" ", "")
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        label = dict(KINDS).get(name, name)
        raise Invalid(f"{label}: enter a number, or nothing for no limit.") from None
    if name.endswith("_seconds"):
        return number * MINUTE
    return int(number) if number.is_integer() else number


def reached(limits: Limits, tokens: int, dollars: float) -> str:
    """Which limit ended a run that had used this much when it was stopped."""
    if limits.tokens is not None and tokens >= limits.tokens:
        return "tokens"
    return "dollars" if limits.dollars is not None and dollars >= limits.dollars else "wall_seconds"


def limit_fields(bounds: Any, on_save: Any) -> rx.Component:
    """A line for each; `on_save` takes its name and what was typed, when it is left."""
    return rx.foreach(
        bounds,
        lambda bound: rx.el.label(
            rx.el.span(bound.label),
            rx.el.input(
                id="limit-" + bound.name,
                key=bound.name + ":" + bound.value,
                default_value=bound.value,
                placeholder=bound.applies,
                input_mode="decimal",
                auto_complete="off",
                max_length=20,
                class_name="input num",
                on_blur=lambda text: on_save(bound.name, text),
            ),
            class_name="setting",
            key=bound.name,
        ),
    )


def _text(name: str, value: float | None) -> str:
    if value is None:
        return ""
    number = value / MINUTE if name.endswith("_seconds") else value
    return f"{number:.2f}".rstrip("0").rstrip(".") if name != "dollars" else f"{number:.2f}"
