"""Which tasks the open one waits for: shown, chosen, taken away."""

from dataclasses import dataclass
from typing import Any

import reflex as rx

from openlinear.components import ui
from openlinear.components.acting import Personal, an_id
from openlinear.components.cards import clip
from openlinear.services import tasks
from openlinear.services.errors import ServiceError
from openlinear.services.views import TaskView

FOUND = 6


@dataclass(frozen=True)
class Needed:
    """A task that is waited for, or could be."""

    id: str
    identifier: str
    title: str
    done: bool


def needed_of(task: TaskView) -> list[Needed]:
    return [Needed(str(one.id), one.identifier, clip(one.title, 80), one.done) for one in task.waits_for]


class WaitsState(Personal, rx.State):
    """What is being looked for, for one task; the panel shows it while that task is open."""

    task_id: str = ""
    found: list[Needed] = []
    searched: bool = False
    error: str = ""
    added: int = 0

    @rx.event
    async def search(self, task_id: str, text: str) -> None:
        """Tasks of the same project by their title or number."""
        self.task_id, self.error = task_id, ""
        self.found, self.searched = [], bool(text.strip())
        if not self.searched:
            return
        async with self._acting() as (session, actor):
            task = await tasks.task(session, actor, an_id(task_id))
            wanted = tasks.TaskFilter(project_id=task.project_id, q=text.strip()[:200])
            page = await tasks.list_tasks(session, actor, wanted, limit=FOUND + 1 + len(task.waits_for))
        taken = {task.id, *(one.id for one in task.waits_for)}
        rest = [one for one in page.items if one.id not in taken]
        self.found = [
            Needed(str(one.id), one.identifier, clip(one.title, 80), one.status == "done")
            for one in rest[:FOUND]
        ]

    @rx.event
    async def add_first(self, task_id: str, _data: dict[str, Any]) -> None:
        if task_id == self.task_id and self.found:
            await self._change(task_id, self.found[0].id, add=True)

    @rx.event
    async def add(self, task_id: str, other: str) -> None:
        await self._change(task_id, other, add=True)

    @rx.event
    async def remove(self, task_id: str, other: str) -> None:
        await self._change(task_id, other, add=False)

    async def _change(self, task_id: str, other: str, *, add: bool) -> None:
        """The panel reads the task again as soon as it hears of the change."""
        self.task_id, self.error = task_id, ""
        try:
            async with self._acting() as (session, actor):
                task = await tasks.task(session, actor, an_id(task_id))
                wanted = {one.id for one in task.waits_for}
                wanted = wanted | {an_id(other)} if add else wanted - {an_id(other)}
                await tasks.update_task(session, actor, task.id, {"waits_for": wanted})
        except ServiceError as error:
            self.error = str(error)
        else:
            self.found, self.searched = [], False
            self.added += 1


def waits_for(project: rx.Var[str], task_id: rx.Var[str], needed: rx.Var[list[Needed]]) -> rx.Component:
    """`project` is the address of the task's board."""
    return rx.el.div(
        rx.foreach(needed, lambda one: _needed(one, project, task_id)),
        rx.el.form(
            rx.el.input(
                name="text",
                key=f"waits:{task_id}:{WaitsState.added}",
                class_name="input",
                placeholder="Waits for: a task's title or number",
                aria_label="Waits for",
                auto_complete="off",
                on_change=lambda text: WaitsState.search(task_id, text),
            ),
            on_submit=lambda data: WaitsState.add_first(task_id, data),
        ),
        rx.cond(
            WaitsState.task_id == task_id,
            rx.fragment(
                rx.cond(
                    WaitsState.found,
                    rx.foreach(WaitsState.found, lambda one: _choice(one, task_id)),
                    rx.cond(
                        WaitsState.searched,
                        rx.el.p("No other task of this project is called that.", class_name="meta"),
                    ),
                ),
                ui.error_line(WaitsState.error),
            ),
        ),
        class_name="waits",
        role="group",
        aria_label="Waits for",
    )


def _needed(one: rx.Var[Needed], project: rx.Var[str], task_id: rx.Var[str]) -> rx.Component:
    return rx.el.div(
        rx.cond(
            one.done,
            rx.el.span(ui.icon("circle-check", 14), class_name="state done", title="Done"),
            rx.el.span(ui.icon("circle-dashed", 14), class_name="state", title="Not done yet"),
        ),
        ui.link(
            rx.el.span(one.identifier, class_name="mono"),
            rx.el.span(one.title, class_name="clipped"),
            href=project + "/t/" + one.id,
            title=one.title,
        ),
        ui.icon_button("x", "Do not wait for it", on_click=WaitsState.remove(task_id, one.id)),
        class_name=rx.cond(one.done, "need over", "need"),
        key=one.id,
    )


def _choice(one: rx.Var[Needed], task_id: rx.Var[str]) -> rx.Component:
    return ui.button(
        ui.icon("plus", 14),
        rx.el.span(one.identifier, class_name="mono"),
        rx.el.span(one.title, class_name="clipped"),
        class_name="need choice",
        on_click=WaitsState.add(task_id, one.id),
        key=one.id,
    )
