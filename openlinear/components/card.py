"""A card, to the letter of the look: what is empty takes no room, and running makes it no taller."""

from typing import Any

import reflex as rx

from openlinear.components import ui
from openlinear.components.cards import Card, Label

MINUS = "\N{MINUS SIGN}"
PRIORITIES = {
    "low": ("signal-low", "Low priority"),
    "medium": ("signal-medium", "Medium priority"),
    "high": ("signal-high", "High priority"),
    "urgent": ("circle-alert", "Urgent"),
}


def task_card(
    card: rx.Var[Any],
    *,
    project: rx.Var[str],
    selected: rx.Var[bool],
    execute: Any,
    cancel: Any,
    **props: Any,
) -> rx.Component:
    """`project` is the address of its board; `execute` and `cancel` are handlers that take the task's id."""
    run = card.run
    href = project + "/t/" + card.id
    has_meta = (card.labels.length() > 0) | (card.due != "")
    return ui.Draggable.create(
        rx.el.div(
            rx.el.span(card.identifier, class_name="id mono"),
            _priority(card.priority),
            clash(run.clash),
            attempt(run),
            rx.el.span(
                rx.cond(
                    run.id != "",
                    rx.el.span(ui.icon("bot", 14), title=card.agent, display="inline-flex"),
                ),
                rx.cond(
                    card.initials != "",
                    rx.el.span(card.initials, class_name="person", title=card.person),
                ),
                class_name="end",
            ),
            class_name="card-top",
        ),
        ui.link(
            card.title,
            href=href,
            class_name="card-link card-title",
            title=card.title,
            draggable=False,
        ),
        rx.cond(
            has_meta & ~run.open,
            rx.el.div(
                rx.foreach(card.labels, _label),
                rx.cond(
                    card.due != "",
                    rx.el.span(card.due, class_name=rx.cond(card.overdue, "num state failed", "num")),
                ),
                class_name="card-meta",
            ),
        ),
        _after(card, execute, href, project),
        rx.el.div(
            rx.cond(
                run.open,
                ui.icon_button("circle-stop", "Cancel the run", on_click=cancel(card.id)),
                ui.icon_button(
                    "play",
                    "Execute",
                    on_click=execute(card.id),
                    custom_attrs={"data-act": "execute"},
                ),
            ),
            ui.link(
                ui.icon("panel-right-open"),
                href=href,
                class_name="btn ghost icon",
                title="Open",
                tab_index=-1,
                aria_label="Open the task",
            ),
            class_name="card-acts",
        ),
        rx.cond(
            run.open & ~_queued(run),
            rx.el.div(
                rx.el.i(custom_attrs={"style": {"transform": f"scaleX({run.progress / 100})"}}),
                class_name="bar",
                role="progressbar",
                aria_valuenow=run.progress,
                aria_label="Progress",
            ),
        ),
        card=card,
        **props,
        class_name="card "
        + run.state
        + rx.cond(run.open, " open", "")
        + rx.cond(has_meta, " has-meta", "")
        + rx.cond(card.status == "cancelled", " cancelled", "")
        + rx.cond(selected, " selected", ""),
    )


def _priority(priority: rx.Var[str]) -> rx.Component:
    return rx.match(
        priority,
        *[
            (
                name,
                rx.el.span(
                    ui.icon(glyph, 14),
                    *([] if name == "urgent" else [ui.icon("signal-high", 14)]),
                    title=title,
                    class_name="priority " + name,
                ),
            )
            for name, (glyph, title) in PRIORITIES.items()
        ],
        rx.fragment(),
    )


def _label(label: rx.Var[Label]) -> rx.Component:
    return rx.el.span(rx.el.i(class_name="dot-" + label.color), label.name, class_name="label")


def _queued(run: rx.Var[Any]) -> rx.Var[bool]:
    """Whether it waits for its turn in a batch."""
    return (run.status == "queued") & (run.batch != "")


def _now(run: rx.Var[Any], project: rx.Var[str]) -> rx.Component:
    """What an open run does now; or that it waits for its turn, and where to look at that."""
    return rx.el.div(
        rx.cond(
            _queued(run),
            ui.link(
                run.message,
                href=project + "/b/" + run.batch,
                class_name="line in-batch",
                title="Open the batch",
            ),
            rx.fragment(
                rx.el.span(run.message, class_name="line " + run.state, title=run.message),
                ui.Elapsed.create(since=run.started, until=run.ended),
            ),
        ),
        class_name="card-run",
    )


def _after(card: rx.Var[Card], execute: Any, href: rx.Var[str], project: rx.Var[str]) -> rx.Component:
    """The line of the run: what it does now, or what came of it."""
    run = card.run
    return rx.cond(
        run.open,
        _now(run, project),
        rx.match(
            run.state,
            (
                "failed",
                rx.el.div(
                    rx.el.span(run.error, class_name="line failed", title=run.error),
                    changes(run),
                    rx.cond(
                        run.over,
                        ui.link("Raise the limit", href=href, class_name="retry"),
                        ui.button("Retry", class_name="retry", on_click=execute(card.id)),
                    ),
                    class_name="card-run",
                ),
            ),
            ("done", rx.el.div(*result(run), class_name="card-run")),
            rx.fragment(),
        ),
    )


def result(run: rx.Var[Any]) -> list[rx.Component]:
    """`#12`, lines added and removed, cost: what came of a run."""
    return [
        rx.cond(
            run.pr > 0,
            pull_request(run.pr, run.url, run.proposal),
            rx.el.span(
                ui.icon("check", 14), rx.cond(run.result != "", run.result, "Done"), class_name="state done"
            ),
        ),
        changes(run),
        cost(run),
    ]


def pull_request(number: rx.Var[int], url: rx.Var[str], became: rx.Var[str] | str = "") -> rx.Component:
    """`#12`, which leads there, and what became of it."""
    return rx.el.a(
        ui.icon("git-pull-request", 14),
        "#" + number.to(str),
        rx.cond(became != "", rx.el.span(" ", became, class_name="meta"), rx.fragment()),
        href=url,
        target="_blank",
        rel="noopener noreferrer",
        class_name="pr state done num",
        title="Open the pull request",
    )


def branch(name: rx.Var[str]) -> rx.Component:
    """A branch's name, to be copied."""
    return rx.el.span(
        ui.icon("git-branch", 14),
        rx.el.span(name, class_name="mono", title=name),
        ui.Copy.create(key=name, text=name, label="Copy the branch name"),
        class_name="fact",
    )


def changes(run: rx.Var[Any]) -> rx.Component:
    return changes_of(run.added, run.removed, title=f"{run.additions} lines added, {run.deletions} removed")


def changes_of(added: rx.Var[str], removed: rx.Var[str], **props: Any) -> rx.Component:
    return rx.cond(
        added != "",
        rx.el.span(
            rx.el.span("+" + added, class_name="add"),
            " ",
            rx.el.span(MINUS + removed, class_name="del"),
            class_name="num",
            **props,
        ),
    )


def cost(run: rx.Var[Any]) -> rx.Component:
    return rx.cond(run.cost != "", rx.el.span(run.cost, class_name="num", title="Cost of the model's tokens"))


def clash(text: rx.Var[str]) -> rx.Component:
    """A mark that says what this would conflict with."""
    mark = rx.el.span(
        ui.icon("triangle-alert", 14),
        title=text,
        role="img",
        class_name="clash state running",
        custom_attrs={"aria-label": text},
    )
    return rx.cond(text != "", mark)


def attempt(run: rx.Var[Any]) -> rx.Component:
    """`Attempt 2 of 5`, from the second on."""
    return rx.cond(
        run.attempt > 1,
        rx.el.span(f"Attempt {run.attempt} of {run.attempts}", class_name="num attempt"),
    )
