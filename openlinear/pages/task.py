"""The open task: what its panel shows, and what can be done there. `panel.py` is its view."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import reflex as rx
from sqlmodel.ext.asyncio.session import AsyncSession

from engine.limits import Limits
from openlinear.components.acting import Personal, an_id
from openlinear.components.cards import Card, card_of
from openlinear.components.limits import Bound, amount, bounds_of, reached
from openlinear.livecards import entry_of
from openlinear.pages.waits import Needed, needed_of
from openlinear.services import execution, feed, labels, limits, projects, providers, storage, tasks
from openlinear.services.errors import NotFound
from openlinear.services.views import Actor, AskView, ExecutionView, TaskView

PAGE = 200
COLORS = ("blue", "green", "amber", "violet", "red", "slate")
"""What new labels are given, in turn."""


@dataclass(frozen=True)
class Tag:
    """A label that the task may wear."""

    id: str
    name: str
    color: str
    on: bool


@dataclass(frozen=True)
class Option:
    label: str
    description: str


@dataclass(frozen=True)
class Question:
    """One of the things an agent wants to know; `custom` allows an answer of one's own."""

    text: str
    multiple: bool
    custom: bool
    options: list[Option] = field(default_factory=list)


@dataclass(frozen=True)
class Ask:
    """What the agent waits for: a permission, or answers to its questions."""

    id: str
    kind: str
    text: str
    questions: list[Question] = field(default_factory=list)


@dataclass(frozen=True)
class Kept:
    """Work of the last run that was not pushed; `run` is empty where all of it was."""

    run: str = ""
    until: str = ""
    left: str = ""
    bundle: bool = False
    files: bool = False


class PanelState(Personal, rx.State):
    """The open task. Its log lines come page by page, then live (see assets/ui/entries.js)."""

    task_id: str = ""
    card: Card = Card()
    news: int = 0
    title: str = ""
    description: str = ""
    model: str = ""
    due: str = ""
    """As a date field has it: `2026-11-22`, or empty."""
    branch: str = ""
    error: str = ""
    bounds: list[Bound] = []
    reached: str = ""
    """Which limit ended the run, where one did."""
    raising: int = 0
    """Grows whenever somebody wants to see the limits."""
    tags: list[Tag] = []
    waits: list[Needed] = []
    models: list[str] = []
    default_model: str = ""
    asks: list[Ask] = []
    run_id: str = ""
    entries: list[dict[str, Any]] = []
    patch: str = ""
    kept: Kept = Kept()
    of_team: str = ""
    """The team whose project it is; empty for a person's own."""
    tab: str = "conversation"
    missing: bool = False
    _above: Limits = Limits()

    @rx.event
    async def open(self) -> AsyncIterator[None]:
        """Show the task that the address names, or none."""
        _, wanted = self._place()
        if wanted != self.task_id:
            self._clear()
            self.task_id = wanted
            yield
        if wanted:
            async for _ in self._read():
                yield

    @rx.event
    async def refresh(self) -> AsyncIterator[None]:
        if self._place()[1]:
            async for _ in self._read():
                yield

    async def _read(self) -> AsyncIterator[None]:
        try:
            async with self._acting() as (session, actor):
                ident = an_id(self._place()[1])
                seen = await feed.latest_id(session)
                task = await tasks.task(session, actor, ident)
                self.tags = [
                    Tag(str(one.id), one.name, one.color, any(one.id == worn.id for worn in task.labels))
                    for one in await labels.for_project(session, actor, task.project_id)
                ]
                project = await projects.get_project(session, actor, task.project_id)
                demo, self.of_team = project.demo, str(project.team_id or "")
                self.models = await providers.model_choices(session, actor, demo=demo)
                self.default_model = await providers.default_model(session, actor, demo=demo)
                self._above = await limits.above_tasks(session, actor, project.team_id)
                self.asks = [_ask(ask) for ask in await execution.asks(session, actor, ident)]
                self.patch = (await execution.diff(session, actor, ident)).patch
                self.kept = await _kept(session, actor, task)
                self._show(task, seen)
        except NotFound:
            gone = self.task_id
            self._clear()
            self.task_id, self.missing = gone, True
            return
        yield
        async for _ in self._read_log(after=0):
            yield

    async def _read_log(self, after: int) -> AsyncIterator[None]:
        """The lines after a number, one page at a time, so that a long log shows at once."""
        run_id = self.run_id
        while run_id:
            async with self._acting() as (session, actor):
                page = await execution.log(session, actor, an_id(self._place()[1]), after, PAGE)
            if page:
                self.entries = [entry_of(an_id(run_id), entry) for entry in page]
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

    # What is changed is named by the browser: by the time an event arrives, the page may show another task.

    @rx.event
    async def save_title(self, task_id: str, text: str) -> None:
        await self._change(task_id, {"title": text})

    @rx.event
    async def save_description(self, task_id: str, text: str) -> None:
        await self._change(task_id, {"description": text})

    @rx.event
    async def set_status(self, task_id: str, status: str) -> None:
        await self._change(task_id, {"status": status})

    @rx.event
    async def set_priority(self, task_id: str, priority: str) -> None:
        await self._change(task_id, {"priority": priority or None})

    @rx.event
    async def set_model(self, task_id: str, model: str) -> None:
        await self._change(task_id, {"model": model})

    @rx.event
    async def set_due(self, task_id: str, day: str) -> None:
        """A date that is being typed is no date for a while: only a whole one is kept."""
        with contextlib.suppress(ValueError):
            await self._change(task_id, {"due_date": date.fromisoformat(day) if day else None})

    @rx.event
    async def toggle_tag(self, task_id: str, tag_id: str) -> None:
        async with self._acting() as (session, actor):
            task = await tasks.task(session, actor, an_id(task_id))
        worn = {str(label.id) for label in task.labels}
        await self._change(task_id, {"labels": sorted(worn ^ {tag_id})})

    @rx.event
    async def add_tag(self, task_id: str, data: dict[str, Any]) -> None:
        """A new label, worn at once."""
        name = str(data.get("name", "")).strip()
        if not name:
            return
        async with self._acting() as (session, actor):
            task = await tasks.task(session, actor, an_id(task_id))
            color = COLORS[len(self.tags) % len(COLORS)]
            label = await labels.create_for_project(session, actor, task.project_id, name, color)
        self.tags = [*self.tags, Tag(str(label.id), label.name, label.color, False)]
        await self._change(task_id, {"labels": [*(str(one.id) for one in task.labels), str(label.id)]})

    @rx.event
    async def set_limit(self, task_id: str, name: str, text: str) -> None:
        """A field of the limits was left; most often nothing was changed in it."""
        if all((one.name, one.value) != (name, text) for one in self.bounds):
            await self._change(task_id, {"limits": {name: amount(name, text)}})

    @rx.event
    async def raise_limit(self) -> None:
        """Show the limits, at the one that ended the run."""
        self.tab = "conversation"
        self.raising += 1

    async def _change(self, task_id: str, patch: tasks.TaskPatch) -> None:
        async with self._acting() as (session, actor):
            task = await tasks.update_task(session, actor, an_id(task_id), patch)
        if task_id == self.task_id:
            worn = {label.id for label in task.labels}
            self.tags = [Tag(tag.id, tag.name, tag.color, an_id(tag.id) in worn) for tag in self.tags]
            self._show(task, self.news)

    @rx.event
    async def reply(self, task_id: str, ask_id: str, reply: str) -> None:
        await self._answer(task_id, ask_id, {"reply": reply})

    @rx.event
    async def deny(self, task_id: str, data: dict[str, Any]) -> None:
        message, ask_id = str(data.get("message", "")).strip(), str(data.get("ask", ""))
        await self._answer(task_id, ask_id, {"reply": "reject", **({"message": message} if message else {})})

    @rx.event
    async def answer(self, task_id: str, ask_id: str, answers: list[list[str]]) -> None:
        """A list for each question."""
        await self._answer(task_id, ask_id, {"answers": answers})

    async def _answer(self, task_id: str, ask_id: str, answer: dict[str, Any]) -> None:
        async with self._acting() as (session, actor):
            await execution.answer(session, actor, an_id(task_id), an_id(ask_id), answer)
        self.asks = [ask for ask in self.asks if ask.id != ask_id]

    @rx.event
    async def restore(self, run_id: str) -> None:
        """Run the task again, from what an earlier run left. The card tells the rest."""
        async with self._acting() as (session, actor):
            await storage.restore(session, actor, an_id(run_id))

    @rx.event
    async def show_tab(self, tab: str) -> None:
        self.tab = tab
        self.raising = 0

    def _clear(self) -> None:
        owner = self._owner
        self.reset()
        self._owner = owner

    def _show(self, task: TaskView, seen: int) -> None:
        run = task.execution
        self.card, self.news = card_of(task), seen
        self.title, self.description, self.model = task.title, task.description, task.model
        self.due = task.due_date.isoformat() if task.due_date else ""
        self.bounds = bounds_of(task.limits, self._above)
        self.reached = _reached(run) if run else ""
        self.waits = needed_of(task)
        self.run_id = str(run.run_id) if run else ""
        self.branch = run.branch if run else ""
        self.error = (run.error or "") if run else ""


def _reached(run: ExecutionView) -> str:
    over = run.error_kind == "budget"
    return reached(run.limits, run.tokens_in + run.tokens_out, run.cost) if over else ""


def _ask(ask: AskView) -> Ask:
    questions = [
        Question(
            one.text,
            one.multiple,
            one.custom,
            [Option(option.label, option.description) for option in one.options],
        )
        for one in ask.questions
    ]
    return Ask(str(ask.id), ask.kind, ask.text, questions)


async def _kept(session: AsyncSession, actor: Actor, task: TaskView) -> Kept:
    """What is kept of the task's last run, for the one whose it is."""
    if task.execution is None:
        return Kept()
    try:
        found = await storage.kept_of(session, actor, task.execution.run_id)
    except NotFound:
        return Kept()
    return Kept(
        str(found.run_id),
        f"{found.expires_at.day} {found.expires_at:%B}",
        storage.left_out(found),
        found.bundle_bytes > 0,
        found.files_bytes > 0,
    )
