"""What a person says of the task in its panel: description, properties, labels, limits."""

from typing import Any

import reflex as rx

from openlinear.components import ui
from openlinear.components.cards import Card
from openlinear.components.limits import limit_fields
from openlinear.pages.task import PanelState
from openlinear.pages.waits import waits_for

STATUSES = (("todo", "Todo"), ("in_progress", "In Progress"), ("done", "Done"), ("cancelled", "Cancelled"))
PRIORITIES = (
    ("", "No priority"),
    ("low", "Low"),
    ("medium", "Medium"),
    ("high", "High"),
    ("urgent", "Urgent"),
)


def _choice(label: str, value: Any, options: tuple[tuple[str, str], ...], on_change: Any) -> rx.Component:
    return rx.el.select(
        *[rx.el.option(title, value=name) for name, title in options],
        value=value,
        on_change=lambda name: on_change(PanelState.task_id, name),
        class_name="select",
        aria_label=label,
    )


def details(card: rx.Var[Card]) -> rx.Component:
    return rx.el.div(
        ui.Description.create(
            name="description:" + PanelState.task_id,
            key="description:" + PanelState.task_id,
            value=PanelState.description,
            label="Description",
            placeholder="Describe the task: what should be different when it is done?",
            on_save=lambda text: PanelState.save_description(PanelState.task_id, text),
        ),
        rx.el.div(
            _choice("Status", card.status, STATUSES, PanelState.set_status),
            _choice("Priority", card.priority, PRIORITIES, PanelState.set_priority),
            rx.el.select(
                rx.el.option(
                    rx.cond(
                        PanelState.default_model != "",
                        "Default: " + PanelState.default_model,
                        "No model connected",
                    ),
                    value="",
                ),
                rx.foreach(PanelState.models, lambda name: rx.el.option(name, value=name)),
                value=PanelState.model,
                on_change=lambda name: PanelState.set_model(PanelState.task_id, name),
                class_name="select",
                aria_label="Model",
            ),
            rx.el.input(
                type="date",
                value=PanelState.due,
                on_change=lambda day: PanelState.set_due(PanelState.task_id, day),
                class_name="select",
                aria_label="Due date",
                title="Due date",
            ),
            class_name="properties",
        ),
        rx.el.div(
            rx.foreach(
                PanelState.tags,
                lambda tag: ui.button(
                    rx.el.span(rx.el.i(class_name="dot-" + tag.color), tag.name, class_name="label"),
                    aria_pressed=tag.on,
                    on_click=PanelState.toggle_tag(PanelState.task_id, tag.id),
                ),
            ),
            rx.el.form(
                rx.el.input(
                    name="name",
                    class_name="input",
                    placeholder="New label",
                    max_length=40,
                    aria_label="New label",
                ),
                on_submit=lambda data: PanelState.add_tag(PanelState.task_id, data),
                reset_on_submit=True,
                class_name="new-label",
            ),
            class_name="labels",
        ),
        waits_for("/p/" + card.project, PanelState.task_id, PanelState.waits),
        _limits(),
        class_name="details",
    )


def _limits() -> rx.Component:
    """Folded, unless a limit has just ended the run."""
    unfolded = (PanelState.raising > 0) | (PanelState.reached != "")
    return rx.el.details(
        rx.el.summary("Limits"),
        rx.cond(PanelState.raising > 0, ui.Reach.create(target="limit-" + PanelState.reached)),
        limit_fields(
            PanelState.bounds, lambda name, text: PanelState.set_limit(PanelState.task_id, name, text)
        ),
        rx.el.p(
            "They hold for each run of this task. Nothing goes above your own limits under ",
            ui.link("Settings", href="/settings"),
            rx.cond(
                PanelState.of_team != "",
                rx.fragment(" or above ", ui.link("the team's", href="/teams/" + PanelState.of_team), "."),
                ".",
            ),
            class_name="meta",
        ),
        open=unfolded,
        key=f"limits:{PanelState.task_id}:{PanelState.raising}",
        class_name="limits",
    )
