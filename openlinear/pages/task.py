"""A task: the panel at the right of the board."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import reflex as rx

from openlinear.components import ui
from openlinear.components.acting import Personal, an_id
from openlinear.components.card import result
from openlinear.components.cards import Card, card_of
from openlinear.live import LiveState, LogState, entry_of
from openlinear.services import execution, feed, labels, providers, tasks
from openlinear.services.errors import NotFound
from openlinear.services.views import AskView, TaskView

PAGE = 200
STATUSES = (("todo", "Todo"), ("in_progress", "In Progress"), ("done", "Done"), ("cancelled", "Cancelled"))
PRIORITIES = (("", "No priority"), ("low", "Low"), ("medium", "Medium"), ("high", "High"), ("urgent", "Urgent"))
TABS = (("conversation", "Conversation"), ("changes", "Changes"), ("log", "Log"))


@dataclass(frozen=True)
class Tag:
    """A label that the task may wear."""

    id: str
    name: str
    color: str
    on: bool


@dataclass(frozen=True)
class Question:
    """What the agent waits for."""

    id: str
    kind: str
    text: str
    options: list[str] = field(default_factory=list)


class PanelState(Personal, rx.State):
    """The open task. Its log lines come page by page, then live (see assets/ui/entries.js)."""

    task_id: str = ""
    card: Card = Card()
    news: int = 0
    title: str = ""
    description: str = ""
    model: str = ""
    branch: str = ""
    error: str = ""
    tags: list[Tag] = []
    models: list[str] = []
    asks: list[Question] = []
    run_id: str = ""
    entries: list[dict[str, Any]] = []
    patch: str = ""
    tab: str = "conversation"
    missing: bool = False

    @rx.event
    async def open(self) -> AsyncIterator[None]:
        """Show the task that the address names, or none."""
        parts = self.router.url.path.strip("/").split("/")
        wanted = parts[3] if len(parts) > 3 and parts[2] == "t" else ""
        if wanted != self.task_id:
            self._clear()
            self.task_id = wanted
            yield
        if wanted:
            async for _ in self._read():
                yield

    @rx.event
    async def refresh(self) -> AsyncIterator[None]:
        if self.task_id:
            async for _ in self._read():
                yield

    async def _read(self) -> AsyncIterator[None]:
        try:
            async with self.acting() as (session, actor):
                ident = an_id(self.task_id)
                seen = await feed.latest_id(session)
                task = await tasks.task(session, actor, ident)
                self.tags = [
                    Tag(str(one.id), one.name, one.color, any(one.id == worn.id for worn in task.labels))
                    for one in await labels.list_labels(session, actor)
                ]
                self.models = await providers.model_choices(session, actor)
                self.asks = [_question(ask) for ask in await execution.asks(session, actor, ident)]
                self.patch = (await execution.diff(session, actor, ident)).patch
                self._show(task, seen)
        except NotFound:
            self.missing = True
            return
        yield
        async for _ in self._read_log(after=0):
            yield

    async def _read_log(self, after: int) -> AsyncIterator[None]:
        """The lines after a number, one page at a time, so that a long log shows at once."""
        while self.run_id:
            async with self.acting() as (session, actor):
                page = await execution.log(session, actor, an_id(self.task_id), after, PAGE)
            if page:
                self.entries = [entry_of(an_id(self.run_id), entry) for entry in page]
                after = page[-1].seq
                yield
            if len(page) < PAGE:
                return

    @rx.event
    async def more_log(self, run_id: str, after: int) -> AsyncIterator[None]:
        """A browser missed lines, or one was too long to come by itself."""
        if run_id == self.run_id:
            async for _ in self._read_log(after):
                yield

    @rx.event
    async def save_title(self, text: str) -> None:
        await self._change({"title": text})

    @rx.event
    async def save_description(self, text: str) -> None:
        await self._change({"description": text})

    @rx.event
    async def set_status(self, status: str) -> None:
        await self._change({"status": status})

    @rx.event
    async def set_priority(self, priority: str) -> None:
        await self._change({"priority": priority or None})

    @rx.event
    async def set_model(self, model: str) -> None:
        await self._change({"model": model})

    @rx.event
    async def toggle_tag(self, tag_id: str) -> None:
        worn = {tag.id for tag in self.tags if tag.on}
        await self._change({"labels": sorted(worn ^ {tag_id})})

    @rx.event
    async def add_tag(self, data: dict[str, Any]) -> None:
        """A new label, worn at once."""
        name = str(data.get("name", "")).strip()
        if not name:
            return
        async with self.acting() as (session, actor):
            label = await labels.create_label(session, actor, name, str(data.get("color", "slate")))
        self.tags = [*self.tags, Tag(str(label.id), label.name, label.color, False)]
        await self._change({"labels": [*(tag.id for tag in self.tags if tag.on), str(label.id)]})

    async def _change(self, patch: tasks.TaskPatch) -> None:
        async with self.acting() as (session, actor):
            task = await tasks.update_task(session, actor, an_id(self.task_id), patch)
        worn = {label.id for label in task.labels}
        self.tags = [Tag(tag.id, tag.name, tag.color, an_id(tag.id) in worn) for tag in self.tags]
        self._show(task, self.news)

    @rx.event
    async def reply(self, ask_id: str, reply: str) -> None:
        await self._answer(ask_id, {"reply": reply})

    @rx.event
    async def deny(self, ask_id: str, data: dict[str, Any]) -> None:
        message = str(data.get("message", "")).strip()
        await self._answer(ask_id, {"reply": "reject", **({"message": message} if message else {})})

    @rx.event
    async def choose(self, ask_id: str, label: str) -> None:
        await self._answer(ask_id, {"answers": [[label]]})

    @rx.event
    async def write(self, ask_id: str, data: dict[str, Any]) -> None:
        text = str(data.get("message", "")).strip()
        if text:
            await self._answer(ask_id, {"answers": [[text]]})

    async def _answer(self, ask_id: str, answer: dict[str, Any]) -> None:
        async with self.acting() as (session, actor):
            await execution.answer(session, actor, an_id(self.task_id), an_id(ask_id), answer)
        self.asks = [ask for ask in self.asks if ask.id != ask_id]

    @rx.event
    async def show_tab(self, tab: str) -> None:
        self.tab = tab

    def _clear(self) -> None:
        owner = self._owner
        self.reset()
        self._owner = owner

    def _show(self, task: TaskView, seen: int) -> None:
        run = task.execution
        self.card, self.news = card_of(task), seen
        self.title, self.description, self.model = task.title, task.description, task.model
        self.run_id = str(run.run_id) if run else ""
        self.branch = run.branch if run else ""
        self.error = (run.error or "") if run else ""


def _question(ask: AskView) -> Question:
    return Question(str(ask.id), ask.kind, ask.text, [option.label for option in ask.options])


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
                    ui.link("Back to the board", href="/p/" + project_id, class_name="btn"),
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
                        ui.icon("square", 14), "Cancel", class_name="btn", on_click=cancel(card.id)
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
            max_length=500,
            class_name="bare panel-title",
            on_save=PanelState.save_title,
        ),
        _facts(run),
        class_name="panel-head",
    )


def _status(card: rx.Var[Card]) -> rx.Component:
    """In one word and colour, with what it does now."""
    run = card.run
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
            ("failed", rx.el.span("Failed", class_name="state failed")),
            ("done", rx.el.span("Done", class_name="state done")),
            ("cancelled", rx.el.span("Cancelled", class_name="state meta")),
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
                    rx.el.span(PanelState.branch, class_name="mono"),
                    class_name="fact",
                    title=PanelState.branch,
                ),
                rx.cond(run.state == "done", rx.fragment(*result(run))),
                class_name="panel-facts",
            ),
        ),
        rx.cond(
            (PanelState.error != "") & (run.state == "failed"),
            rx.el.p(PanelState.error, class_name="error-line", margin_top="8px", role="alert"),
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
                ui.Conversation.create(
                    _details(), empty=quiet, follow=_live_card().run.open, **feed_props
                ),
            ),
        ),
        class_name="panel-body",
        role="tabpanel",
    )


def _choice(label: str, value: Any, options: tuple[tuple[str, str], ...], on_change: Any) -> rx.Component:
    return rx.el.select(
        *[rx.el.option(title, value=name) for name, title in options],
        value=value,
        on_change=on_change,
        class_name="select",
        aria_label=label,
    )


def _details() -> rx.Component:
    card = _live_card()
    return rx.el.div(
        ui.Editable.create(
            name="description:" + PanelState.task_id,
            key="description:" + PanelState.task_id,
            value=PanelState.description,
            label="Description",
            placeholder="Describe the task: what should be different when it is done?",
            multiline=True,
            max_length=50_000,
            class_name="bare panel-text",
            on_save=PanelState.save_description,
        ),
        rx.el.div(
            _choice("Status", card.status, STATUSES, PanelState.set_status),
            _choice("Priority", card.priority, PRIORITIES, PanelState.set_priority),
            rx.el.select(
                rx.el.option("Default model", value=""),
                rx.foreach(PanelState.models, lambda name: rx.el.option(name, value=name)),
                value=PanelState.model,
                on_change=PanelState.set_model,
                class_name="select",
                aria_label="Model",
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
                    on_click=PanelState.toggle_tag(tag.id),
                ),
            ),
            rx.el.form(
                rx.el.input(
                    name="name", class_name="input", placeholder="New label", max_length=40, aria_label="New label"
                ),
                on_submit=PanelState.add_tag,
                reset_on_submit=True,
                class_name="new-label",
            ),
            class_name="labels",
        ),
        class_name="details",
    )


def _ask(ask: rx.Var[Question]) -> rx.Component:
    say = rx.el.input(name="message", class_name="input", placeholder="Or say what to do instead")
    return rx.el.section(
        rx.el.h3(rx.cond(ask.kind == "permission", "The agent asks for permission", "The agent asks")),
        rx.el.p(ask.text),
        rx.cond(
            ask.kind == "permission",
            rx.el.form(
                rx.el.button(
                    "Allow once", class_name="btn", type="button", on_click=PanelState.reply(ask.id, "once")
                ),
                rx.el.button(
                    "Always allow", class_name="btn", type="button", on_click=PanelState.reply(ask.id, "always")
                ),
                say,
                rx.el.button("Deny", class_name="btn danger", type="submit"),
                on_submit=PanelState.deny(ask.id),
                class_name="acts",
            ),
            rx.fragment(
                rx.el.div(
                    rx.foreach(
                        ask.options,
                        lambda label: rx.el.button(
                            label,
                            class_name="btn",
                            type="button",
                            on_click=PanelState.choose(ask.id, label),
                        ),
                    ),
                    class_name="options",
                ),
                rx.el.form(
                    say,
                    rx.el.button("Answer", class_name="btn", type="submit"),
                    on_submit=PanelState.write(ask.id),
                    class_name="acts",
                ),
            ),
        ),
        class_name="ask",
        key=ask.id,
    )
