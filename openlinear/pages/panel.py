"""The panel at the right of the board: a task's head, conversation, changes and log."""

from typing import Any

import reflex as rx

from openlinear.components import ui
from openlinear.components.card import attempt, branch, changes, cost, result
from openlinear.components.cards import Card
from openlinear.components.kept import downloads
from openlinear.live import LiveState, LogState
from openlinear.pages.panel_asks import ask_card
from openlinear.pages.panel_details import details
from openlinear.pages.task import PanelState

TABS = (("conversation", "Conversation"), ("changes", "Changes"), ("log", "Log"))

PANEL = PanelState.get_full_name()
LIVE = LiveState.get_full_name()
LOG = LogState.get_full_name()


def task_panel(project_id: rx.Var[str], execute: Any, cancel: Any, remove: Any) -> rx.Component:
    """The panel, when a task is open. Handlers take the task's id, `remove` its identifier as well."""
    return rx.cond(
        PanelState.task_id != "",
        ui.Panel.create(
            rx.cond(
                PanelState.missing,
                rx.el.div(
                    rx.el.p("This task does not exist, or you may not see it.", margin_bottom="12px"),
                    ui.link(
                        "Back to the board",
                        href="/p/" + project_id,
                        class_name="btn",
                        custom_attrs={"data-act": "close"},
                    ),
                    class_name="panel-head",
                ),
                rx.cond(
                    PanelState.card.id != "",
                    rx.fragment(
                        _head(project_id, execute, cancel, remove),
                        _tabs(),
                        _body(),
                        ui.Stale.create(panel_name=PANEL, live_name=LIVE, on_stale=PanelState.refresh),
                    ),
                    _bones(),
                ),
            ),
            class_name="panel",
            label="Task",
        ),
    )


def _bones() -> rx.Component:
    return rx.el.div(
        rx.el.div(class_name="bone short", margin="10px 0 14px"),
        rx.el.div(class_name="bone"),
        class_name="panel-head bones",
        aria_busy=True,
    )


def _live_card() -> rx.Var[Card]:
    return ui.from_store("usePanelCard", "olCard", Card, PANEL, LIVE)


def _head(project_id: rx.Var[str], execute: Any, cancel: Any, remove: Any) -> rx.Component:
    card = _live_card()
    run = card.run
    return rx.el.header(
        rx.el.div(
            rx.el.span(card.identifier, class_name="mono meta"),
            _status(card),
            rx.el.span(
                rx.cond(
                    run.open,
                    rx.el.button(
                        ui.icon("circle-stop", 14), "Cancel", class_name="btn", on_click=cancel(card.id)
                    ),
                    rx.el.button(
                        ui.icon("play", 14),
                        rx.cond(run.state == "failed", "Retry", "Execute"),
                        class_name="btn primary",
                        on_click=execute(card.id),
                        custom_attrs={"data-act": "execute"},
                    ),
                ),
                rx.cond(
                    run.open,
                    rx.fragment(),
                    ui.icon_button(
                        "trash-2", "Take off the board", on_click=remove(card.id, card.identifier)
                    ),
                ),
                ui.link(
                    ui.icon("x"),
                    href="/p/" + project_id,
                    class_name="btn ghost icon",
                    title="Close",
                    custom_attrs={"aria-label": "Close", "data-act": "close"},
                ),
                class_name="end",
            ),
            class_name="panel-bar",
        ),
        ui.Editable.create(
            name="title:" + PanelState.task_id,
            key="title:" + PanelState.task_id,
            value=PanelState.title,
            label="Title",
            class_name="bare panel-title",
            on_save=lambda text: PanelState.save_title(PanelState.task_id, text),
        ),
        _facts(run),
        _together(run, project_id),
        _kept(run),
        class_name="panel-head",
    )


def _status(card: rx.Var[Card]) -> rx.Component:
    """In one word and colour, with how long it runs or when it ended."""
    run = card.run
    ago = ui.Ago.create(at=run.ended, class_name="meta")
    return rx.cond(
        run.open,
        rx.el.span(
            rx.cond(run.state == "waiting", "Waiting", "Running"),
            " ",
            ui.Elapsed.create(since=run.started, until=run.ended),
            class_name="state " + run.state,
        ),
        rx.match(
            run.state,
            ("failed", rx.el.span("Failed ", ago, class_name="state failed")),
            ("done", rx.el.span("Done ", ago, class_name="state done")),
            ("cancelled", rx.el.span("Cancelled ", ago, class_name="state meta")),
            rx.fragment(),
        ),
    )


def _facts(run: rx.Var[Any]) -> rx.Component:
    return rx.fragment(
        rx.cond(
            PanelState.branch != "",
            rx.el.div(
                branch(PanelState.branch),
                rx.cond(
                    run.state == "done",
                    rx.fragment(*result(run)),
                    rx.cond(~run.open, rx.fragment(changes(run), cost(run))),
                ),
                attempt(run),
                class_name="panel-facts",
            ),
        ),
        rx.cond(
            (PanelState.error != "") & (run.state == "failed"),
            rx.el.div(
                rx.el.p(PanelState.error, class_name="error-line", role="alert"),
                rx.cond(
                    PanelState.reached != "",
                    ui.button("Raise the limit", on_click=PanelState.raise_limit),
                ),
                class_name="ended",
            ),
        ),
    )


def _together(run: rx.Var[Any], project_id: rx.Var[str]) -> rx.Component:
    """What its run has to do with others': the batch, and what it would conflict with."""
    return rx.cond(
        (run.batch != "") | (run.clash != ""),
        rx.el.div(
            rx.cond(
                run.batch != "",
                ui.link(
                    ui.icon("layers", 14),
                    "In a batch",
                    href="/p/" + project_id + "/b/" + run.batch,
                    class_name="fact to-batch",
                ),
            ),
            rx.cond(
                run.clash != "",
                rx.el.span(ui.icon("triangle-alert", 14), run.clash, class_name="fact state running wraps"),
            ),
            class_name="panel-facts",
        ),
    )


def _kept(run: rx.Var[Any]) -> rx.Component:
    """What the last run did not push, and the two things to do about it."""
    kept = PanelState.kept
    return rx.cond(
        (kept.run != "") & (kept.run == run.id) & ~run.open,
        rx.el.div(
            rx.el.span(
                ui.icon("archive", 14),
                "Unpushed work kept until ",
                kept.until,
                class_name="fact num",
                title=kept.left,
            ),
            rx.el.span(
                *downloads(kept.run, kept.bundle, kept.files),
                ui.button(
                    "Restore",
                    title="Run the task again, from this work",
                    on_click=PanelState.restore(kept.run),
                ),
                class_name="acts",
            ),
            class_name="panel-facts kept",
        ),
    )


def _tabs() -> rx.Component:
    return rx.el.div(
        *[
            ui.button(
                title,
                class_name="tab",
                role="tab",
                aria_selected=PanelState.tab == name,
                on_click=PanelState.show_tab(name),
            )
            for name, title in TABS
        ],
        class_name="tabs",
        role="tablist",
    )


def _body() -> rx.Component:
    feed_props = {"panel_name": PANEL, "log_name": LOG, "on_gap": PanelState.more_log}
    quiet = rx.cond(
        PanelState.run_id == "",
        "Nothing has run yet. Execute the task to start a conversation.",
        "The run has not said anything yet.",
    )
    return rx.el.div(
        rx.match(
            PanelState.tab,
            (
                "changes",
                ui.Diff.create(
                    patch=PanelState.patch,
                    empty="No changes yet. They show here when a run has committed.",
                ),
            ),
            ("log", ui.Log.create(empty="No log yet. Execute the task to fill it.", **feed_props)),
            rx.fragment(
                rx.foreach(PanelState.asks, ask_card),
                ui.Conversation.create(
                    details(_live_card()), empty=quiet, follow=_live_card().run.open, **feed_props
                ),
            ),
        ),
        class_name="panel-body",
        role="tabpanel",
    )
