"""A project's checks: the commands that a batch's merged result has to pass."""

from typing import Any

import reflex as rx

from openlinear.components import ui
from openlinear.components.acting import Personal, an_id
from openlinear.services import projects
from openlinear.services.errors import Invalid, ServiceError

HINT = "Commands that the result of a batch has to pass, one a line, tried in a fresh box."


class ChecksState(Personal, rx.State):
    """The one project whose checks are open."""

    project_id: str = ""
    text: str = ""
    said: str = ""
    error: str = ""

    @rx.event
    async def close(self) -> None:
        """A page that is opened begins with none."""
        self.project_id = ""

    @rx.event
    async def toggle(self, project_id: str) -> None:
        self.said, self.error, self.text = "", "", ""
        if project_id == self.project_id:
            self.project_id = ""
            return
        async with self._acting() as (session, actor):
            project = await projects.get_project(session, actor, an_id(project_id))
        self.project_id, self.text = project_id, "\n".join(project.checks)

    @rx.event
    async def save(self, project_id: str, data: dict[str, Any]) -> None:
        self.said, self.error = "", ""
        try:
            async with self._acting() as (_, actor):
                pass
            patch = projects.ProjectPatch(checks=commands_of(data))
            project = await projects.update_project(actor, an_id(project_id), patch)
        except Invalid as error:
            self.error = " ".join([str(error), *error.fields.values()])
        except ServiceError as error:
            self.error = str(error)
        else:
            count = len(project.checks)
            self.said = (
                f"Saved: {count} {'check' if count == 1 else 'checks'}." if count else "Saved: no checks."
            )


def commands_of(data: dict[str, Any]) -> list[str]:
    """What a form's field `checks` says, a command a line."""
    return [line.strip() for line in str(data.get("checks", "")).splitlines() if line.strip()]


def checks_field(value: rx.Var[str] | str = "") -> rx.Component:
    return rx.el.label(
        "Checks",
        rx.el.textarea(
            name="checks",
            default_value=value,
            rows=3,
            placeholder="pytest -q",
            spell_check=False,
            class_name="input mono",
        ),
        rx.el.span(HINT, class_name="meta"),
        class_name="field",
    )


def checks_form(project_id: rx.Var[str]) -> rx.Component:
    """The form, where this project's is open."""
    return rx.cond(
        ChecksState.project_id == project_id,
        rx.el.form(
            checks_field(ChecksState.text),
            ui.error_line(ChecksState.error),
            rx.el.div(
                rx.el.button("Save checks", class_name="btn primary", type="submit"),
                rx.el.span(ChecksState.said, class_name="meta", role="status"),
                class_name="saves",
            ),
            # Not `project_id`: a form's handler is compiled outside the loop that names it.
            on_submit=lambda data: ChecksState.save(ChecksState.project_id, data),
            class_name="form inset",
        ),
    )
