"""The panel at the right of the board: a task's head, conversation, changes and log."""

from typing import Any

import reflex as rx

from openlinear.components import ui
from openlinear.components.card import attempt, changes, cost, result
from openlinear.components.cards import Card
from openlinear.components.kept import downloads
from openlinear.components.limits import limit_fields
from openlinear.live import LiveState, LogState
from openlinear.pages.task import Ask, PanelState

STATUSES = (("todo", "Todo"), ("in_progress", "In Progress"), ("done", "Done"), ("cancelled", "Cancelled"))
PRIORITIES = (
    ("", "No priority"),
    ("low", "Low"),
    ("medium", "Medium"),
    ("high", "High"),
    ("urgent", "Urgent"),
)
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
                    rx.el.button(ui.icon("square", 14), "Cancel", class_name="btn", on_click=cancel(card.id)),
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
                rx.el.span(
                    ui.icon("git-branch", 14),
                    rx.el.span(PanelState.branch, class_name="mono", title=PanelState.branch),
                    ui.Copy.create(
                        key=PanelState.branch, text=PanelState.branch, label="Copy the branch name"
                    ),
                    class_name="fact",
                ),
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
                    rx.el.button(
                        "Raise the limit", class_name="btn", type="button", on_click=PanelState.raise_limit
                    ),
                ),
                class_name="ended",
            ),
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
                rx.el.button(
                    "Restore",
                    class_name="btn",
                    type="button",
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
            rx.el.button(
                title,
                class_name="tab",
                role="tab",
                type="button",
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
                rx.foreach(PanelState.asks, _ask),
                ui.Conversation.create(_details(), empty=quiet, follow=_live_card().run.open, **feed_props),
            ),
        ),
        class_name="panel-body",
        role="tabpanel",
    )


def _choice(label: str, value: Any, options: tuple[tuple[str, str], ...], on_change: Any) -> rx.Component:
    return rx.el.select(
        *[rx.el.option(title, value=name) for name, title in options],
        value=value,
        on_change=lambda name: on_change(PanelState.task_id, name),
        class_name="select",
        aria_label=label,
    )


def _details() -> rx.Component:
    card = _live_card()
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
                lambda tag: rx.el.button(
                    rx.el.span(rx.el.i(class_name="dot-" + tag.color), tag.name, class_name="label"),
                    class_name="btn",
                    type="button",
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
        _limits(),
        class_name="details",
    )


def _limits() -> rx.Component:
    """Folded, unless a limit has just ended the run."""
    to_reached = f"document.getElementById('limit-{PanelState.reached}')?.focus()"
    unfolded = (PanelState.raising > 0) | (PanelState.reached != "")
    return rx.el.details(
        rx.el.summary("Limits"),
        rx.cond(PanelState.raising > 0, rx.el.span(on_mount=rx.call_script(to_reached))),
        limit_fields(
            PanelState.bounds, lambda name, text: PanelState.set_limit(PanelState.task_id, name, text)
        ),
        rx.el.p(
            "They hold for each run of this task. Nothing goes above your own limits under ",
            ui.link("Settings", href="/settings"),
            ".",
            class_name="meta",
        ),
        open=unfolded,
        key=f"limits:{PanelState.task_id}:{PanelState.raising}",
        class_name="limits",
    )


def _ask(ask: rx.Var[Ask]) -> rx.Component:
    return rx.el.section(
        rx.cond(
            ask.kind == "permission",
            rx.fragment(
                rx.el.h3("The agent asks for permission"),
                rx.el.p(ask.text),
                _permission(ask.id),
            ),
            rx.fragment(
                rx.el.h3("The agent asks"),
                ui.Questions.create(
                    questions=ask.questions,
                    on_answer=lambda answers: PanelState.answer(PanelState.task_id, ask.id, answers),
                ),
            ),
        ),
        class_name="ask",
        key=ask.id,
    )


def _permission(ask_id: rx.Var[str]) -> rx.Component:
    return rx.el.form(
        *[
            rx.el.button(
                title,
                class_name="btn",
                type="button",
                on_click=PanelState.reply(PanelState.task_id, ask_id, reply),
            )
            for reply, title in (("once", "Allow once"), ("always", "Always allow"))
        ],
        rx.el.input(name="message", class_name="input", placeholder="Or say what to do instead"),
        rx.el.button("Deny", class_name="btn danger", type="submit"),
        on_submit=lambda data: PanelState.deny(PanelState.task_id, ask_id, data),
        class_name="acts",
    )
