"""The panel of a batch at the right of the board: its head, its tasks, and the checks that were tried."""

import reflex as rx

from openlinear.components import ui
from openlinear.components.batch_bar import BatchStale
from openlinear.components.batch_lines import mark
from openlinear.components.batches import Head, Row, Trial
from openlinear.components.card import branch, changes_of, clash, pull_request
from openlinear.live import LiveState
from openlinear.pages.batch import BatchState

BATCH = BatchState.get_full_name()
LIVE = LiveState.get_full_name()


def batch_panel(project_id: rx.Var[str]) -> rx.Component:
    """The panel, when a batch is open."""
    return rx.cond(
        BatchState.batch_id != "",
        ui.Panel.create(
            rx.match(
                rx.cond(BatchState.missing, "missing", rx.cond(BatchState.head.id != "", "batch", "bones")),
                ("missing", _missing(project_id)),
                (
                    "batch",
                    rx.fragment(
                        _head(project_id),
                        rx.el.div(_rows(project_id), _trials(), class_name="panel-body scroll batch"),
                        BatchStale.create(
                            id=BatchState.batch_id,
                            read=BatchState.news,
                            live_name=LIVE,
                            on_stale=BatchState.refresh,
                        ),
                    ),
                ),
                _bones(),
            ),
            class_name="panel",
            label="Batch",
        ),
    )


def _missing(project_id: rx.Var[str]) -> rx.Component:
    return rx.el.div(
        rx.el.p("This batch does not exist, or you may not see it.", margin_bottom="12px"),
        ui.link(
            "Back to the board", href="/p/" + project_id, class_name="btn", custom_attrs={"data-act": "close"}
        ),
        class_name="panel-head",
    )


def _bones() -> rx.Component:
    return rx.el.div(
        rx.el.div(class_name="bone short", margin="10px 0 14px"),
        rx.el.div(class_name="bone"),
        class_name="panel-head bones",
        aria_busy=True,
    )


def _live_head() -> rx.Var[Head]:
    return ui.from_store("useBatch", "olBatch", Head, BATCH, LIVE, module="batches")


def _head(project_id: rx.Var[str]) -> rx.Component:
    head = _live_head()
    return rx.el.header(
        rx.el.div(
            mark(head),
            rx.el.span(head.word, class_name="state " + head.state, role="status"),
            rx.el.span(
                _act(head),
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
        rx.el.h2(f"Batch of {head.total}", class_name="panel-title"),
        rx.el.div(
            rx.el.span(f"{head.done} of {head.total} done", class_name="num"),
            rx.cond(head.started > 0, ui.Elapsed.create(since=head.started, until=head.ended)),
            rx.cond(head.message != "", rx.el.span(head.message, class_name="state " + head.state)),
            class_name="panel-facts",
        ),
        rx.el.div(rx.el.span(BatchState.rules, class_name="meta"), class_name="panel-facts"),
        _outcome(head),
        class_name="panel-head",
    )


def _act(head: rx.Var[Head]) -> rx.Component:
    """The one thing to do now."""
    cancel = ui.button(
        ui.icon("circle-stop", 14),
        "Cancel batch",
        disabled=head.cancelling,
        on_click=BatchState.cancel(head.id),
    )
    approve = ui.button(
        ui.icon("check", 14),
        "Approve",
        class_name="btn primary",
        on_click=BatchState.approve(head.id),
    )
    retry = ui.button(
        ui.icon("rotate-cw", 14),
        "Retry what was left out",
        class_name="btn primary",
        on_click=BatchState.retry(head.id),
    )
    return rx.cond(
        head.open,
        rx.fragment(cancel, rx.cond((head.status == "waiting") & ~head.cancelling, approve)),
        rx.cond(head.left > 0, retry),
    )


def _outcome(head: rx.Var[Head]) -> rx.Component:
    """Where its result is, or why there is none."""
    return rx.fragment(
        rx.cond(
            BatchState.branch != "",
            rx.el.div(
                branch(BatchState.branch),
                rx.cond(
                    head.pr > 0,
                    pull_request(head.pr, head.url),
                ),
                class_name="panel-facts",
            ),
        ),
        rx.cond(
            BatchState.error != "",
            rx.el.div(rx.el.p(BatchState.error, class_name="error-line", role="alert"), class_name="ended"),
        ),
    )


def _rows(project_id: rx.Var[str]) -> rx.Component:
    rows = ui.from_store("useBatchRows", "olBatchRows", list[Row], BATCH, LIVE, module="batches")
    return rx.el.ol(
        rx.foreach(rows, lambda row: _row(row, project_id)), class_name="batch-rows", aria_label="Tasks"
    )


def _row(row: rx.Var[Row], project_id: rx.Var[str]) -> rx.Component:
    return rx.el.li(
        rx.el.div(
            mark(row),
            rx.el.span(row.reference, class_name="id mono"),
            rx.el.span(row.word, class_name="state " + row.state),
            clash(row.clash),
            rx.el.span(
                changes_of(row.added, row.removed),
                rx.cond(
                    row.cost != "",
                    rx.el.span(row.cost, class_name="num", title="Cost of the model's tokens"),
                ),
                rx.cond(
                    (row.status == "running") | (row.ended > 0),
                    ui.Elapsed.create(since=row.started, until=row.ended),
                ),
                rx.cond(
                    row.open,
                    ui.icon_button(
                        "x",
                        "Cancel this task",
                        on_click=BatchState.cancel_task(BatchState.batch_id, row.id),
                    ),
                ),
                class_name="end",
            ),
            class_name="card-top",
        ),
        ui.link(row.title, href="/p/" + project_id + "/t/" + row.id, class_name="row-title", title=row.title),
        rx.cond(row.message != "", rx.el.p(row.message, class_name="line " + row.state)),
        rx.cond(row.clash != "", rx.el.p(row.clash, class_name="line running")),
        rx.cond(row.reason != "", rx.el.p(row.reason, class_name="reason")),
        rx.cond(row.output, _output("What the check said", BatchState.outputs[row.id])),
        key=row.id,
        class_name="batch-row " + row.status,
    )


def _output(title: str, text: rx.Var[str]) -> rx.Component:
    return rx.el.details(
        rx.el.summary(ui.icon("chevron-right", 14), title),
        rx.el.pre(text, class_name="mono io", tab_index=0),
        class_name="output",
    )


def _trials() -> rx.Component:
    return rx.cond(
        BatchState.trials,
        rx.el.section(
            rx.el.h3("Checks"),
            rx.foreach(BatchState.trials, _trial),
            class_name="trials",
            aria_label="Checks",
        ),
    )


def _trial(trial: rx.Var[Trial]) -> rx.Component:
    return rx.el.div(
        rx.el.div(
            rx.cond(
                trial.passed,
                rx.el.span(ui.icon("check", 14), "Passed", class_name="state done"),
                rx.el.span(ui.icon("x", 14), "Failed", class_name="state failed"),
            ),
            rx.el.span(trial.label, class_name="grow"),
            rx.cond(
                trial.command != "", rx.el.span(trial.command, class_name="mono clipped", title=trial.command)
            ),
            rx.el.span(trial.seconds, class_name="num"),
            class_name="card-top",
        ),
        rx.cond(trial.output != "", _output("Output", trial.output)),
        class_name="trial",
    )
