"""One's teams, and making one."""

from dataclasses import dataclass
from typing import Any

import reflex as rx

from openlinear.components import shell, ui
from openlinear.components.acting import Personal
from openlinear.components.notice import NoticeState, notice
from openlinear.live import LiveState
from openlinear.services import teams
from openlinear.services.errors import ServiceError


@dataclass(frozen=True)
class Row:
    id: str
    name: str
    detail: str
    role: str


class TeamsState(Personal, rx.State):
    rows: list[Row] = []
    ready: bool = False
    error: str = ""

    @rx.event
    async def load(self) -> None:
        async with self._acting() as (session, actor):
            found = await teams.list_teams(session, actor)
        self.rows = [
            Row(
                str(one.id),
                one.name,
                " · ".join((one.key, counted(one.members, "member"), counted(one.projects, "project"))),
                one.role,
            )
            for one in found
        ]
        self.ready, self.error = True, ""

    @rx.event
    async def create(self, data: dict[str, Any]) -> Any:
        self.error = ""
        name, key = str(data.get("name", "")), str(data.get("key", "")).strip().upper()
        try:
            async with self._acting() as (session, actor):
                made = await teams.create_team(session, actor, name, key or None)
        except ServiceError as error:
            self.error = str(error)
            return None
        return rx.redirect(f"/teams/{made.id}")


def counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def teams_page() -> rx.Component:
    return shell.shell(
        rx.el.header(shell.unfold_button(), rx.el.h1("Teams"), class_name="topbar"),
        shell.banners(LiveState.get_full_name(), TeamsState.load),
        rx.el.main(_yours(), _new(), class_name="content"),
        notice(NoticeState.close),
        current="teams",
    )


def _yours() -> rx.Component:
    return rx.el.section(
        rx.el.h2("Yours"),
        rx.cond(
            TeamsState.rows,
            rx.el.div(rx.foreach(TeamsState.rows, _row), class_name="rows"),
            rx.cond(
                TeamsState.ready,
                rx.el.p(
                    "You are in no team. Make one below, or ask somebody for an invitation link.",
                    class_name="meta",
                ),
            ),
        ),
    )


def _row(row: rx.Var[Row]) -> rx.Component:
    return ui.link(
        ui.icon("users", 16),
        rx.el.span(
            rx.el.div(row.name, class_name="name", title=row.name),
            rx.el.div(row.detail, class_name="meta num"),
            class_name="grow",
        ),
        rx.el.span(row.role, class_name="meta"),
        ui.icon("chevron-right", 16),
        href="/teams/" + row.id,
        class_name="row",
        key=row.id,
    )


def _new() -> rx.Component:
    return rx.el.section(
        rx.el.h2("New team"),
        rx.el.p("Its members share projects, labels, task numbers and limits.", class_name="meta"),
        rx.el.form(
            rx.el.div(
                rx.el.label(
                    "Name",
                    rx.el.input(class_name="input", name="name", required=True, max_length=100),
                    class_name="field",
                ),
                rx.el.label(
                    "Key",
                    rx.el.input(
                        class_name="input mono",
                        name="key",
                        max_length=6,
                        pattern="[A-Za-z][A-Za-z0-9]*",
                        auto_complete="off",
                    ),
                    rx.el.span(
                        "In front of task numbers, as in WEB-12. Empty: the name's first word.",
                        class_name="meta",
                    ),
                    class_name="field",
                ),
                class_name="pair",
            ),
            ui.error_line(TeamsState.error),
            rx.el.button("Create team", class_name="btn primary", type="submit"),
            on_submit=TeamsState.create,
            class_name="form",
        ),
        id="new",
    )
