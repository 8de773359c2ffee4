"""What is under way together, in a line above the board; nothing where nothing is."""

import reflex as rx

from openlinear.components import ui
from openlinear.components.batches import Head


def batch_lines(board: str, live: str) -> rx.Component:
    """`board` and `live` are the full names of their states."""
    heads = ui.from_store("useOpenBatches", "olOpenBatches", list[Head], board, live, module="batches")
    return rx.cond(
        heads.length() > 0,
        rx.el.nav(rx.foreach(heads, _line), class_name="batch-lines", aria_label="Batches"),
    )


def _line(head: rx.Var[Head]) -> rx.Component:
    return ui.link(
        mark(head),
        rx.el.span(
            rx.match(
                head.status,
                ("waiting", f"Batch of {head.total} waits for approval"),
                f"Batch of {head.total}",
            ),
            class_name="name",
        ),
        rx.el.span(f"{head.done} of {head.total} done", class_name="num"),
        rx.cond(head.message != "", rx.el.span(head.message, class_name="optional clipped")),
        href="/p/" + head.project + "/b/" + head.id,
        class_name="batch-head",
        key=head.id,
    )


def mark(head: rx.Var[Head]) -> rx.Component:
    """Its state as a glyph in its colour."""
    return rx.el.span(
        rx.match(
            head.status,
            ("queued", ui.icon("circle-dashed", 14)),
            ("running", ui.icon("circle-dot", 14)),
            ("waiting", ui.icon("circle-pause", 14)),
            ("merging", ui.icon("git-merge", 14)),
            ("completed", ui.icon("circle-check", 14)),
            ("skipped", ui.icon("circle-minus", 14)),
            ("failed", ui.icon("circle-x", 14)),
            ui.icon("circle-slash", 14),
        ),
        class_name="state " + head.state,
    )
