"""What is around every signed-in page: the sidebar with the projects, and what is wrong, in one line."""

from dataclasses import dataclass, field
from typing import Any

import reflex as rx

from openlinear.components import ui
from openlinear.components.acting import Personal
from openlinear.live import LiveState, hub
from openlinear.services import feed, inbox, projects, teams
from openlinear.services.team_views import TeamView
from openlinear.services.views import ProjectView
from openlinear.vitals import Vitals, monitor


@dataclass(frozen=True)
class Place:
    """A project in the sidebar."""

    id: str
    name: str
    demo: bool


@dataclass(frozen=True)
class Group:
    """A team's projects; one's own under an empty id."""

    id: str
    name: str
    places: list[Place] = field(default_factory=list)


@dataclass(frozen=True)
class Unread:
    """How much of the inbox, as of the news of this number."""

    unread: int = 0
    n: int = 0


class ShellState(Personal, rx.State):
    name: str = ""
    groups: list[Group] = []
    folded: bool = False
    unfolded: bool = False
    """On narrow screens the sidebar is away until it is asked for."""
    vitals: Vitals = Vitals()
    unread: Unread = Unread()
    sheet: bool = False

    @rx.event
    async def load(self) -> None:
        async with self._acting() as (session, actor):
            self.name = actor.name
            self.groups = _groups(
                await projects.list_projects(session, actor), await teams.list_teams(session, actor)
            )
            await hub.welcome(self.router.session.session_id, actor)
            n = await feed.latest_id(session)
            self.unread = Unread(await inbox.unread(session, actor), n)
            self.vitals = await monitor.look(session)
        self.unfolded = False

    @rx.event
    async def fold(self) -> None:
        self.folded = True
        self.unfolded = False

    @rx.event
    async def unfold(self) -> None:
        self.folded = False
        self.unfolded = True

    @rx.event
    async def toggle_sheet(self) -> None:
        self.sheet = not self.sheet


def _groups(seen: list[ProjectView], mine: list[TeamView]) -> list[Group]:
    def of(team_id: object) -> list[Place]:
        return [Place(str(one.id), one.name, one.demo) for one in seen if one.team_id == team_id]

    shared = [Group(str(one.id), one.name, of(one.id)) for one in mine]
    own = of(None)
    return [Group("", "Projects", own), *shared] if own or not shared else shared


def shell(*children: rx.Component, current: rx.Var[str] | str = "") -> rx.Component:
    return rx.el.div(
        _sidebar(current),
        rx.el.div(*children, class_name="stage"),
        ui.Keys.create(on_sheet=ShellState.toggle_sheet),
        rx.cond(ShellState.sheet, _sheet()),
        class_name=rx.cond(ShellState.folded, "shell folded", "shell")
        + rx.cond(ShellState.unfolded, " unfolded", ""),
    )


def banners(live_name: str, on_behind: Any) -> rx.Component:
    """What is wrong, if anything is. `on_behind` reads the page again."""
    return rx.fragment(
        ui.Connection.create(live_name=live_name, on_behind=on_behind),
        ui.VitalsLine.create(live_name=live_name, loaded=ShellState.vitals),
    )


def unfold_button() -> rx.Component:
    return ui.icon_button(
        "panel-left", "Show the sidebar", class_name="btn ghost icon unfold", on_click=ShellState.unfold
    )


def demo_tag() -> rx.Component:
    return rx.el.span("Demo model, scripted", class_name="tag-demo")


def _sidebar(current: rx.Var[str] | str) -> rx.Component:
    return rx.el.nav(
        rx.el.div(
            ui.link("OpenLinear", href="/projects"),
            ui.icon_button("panel-left", "Hide the sidebar", on_click=ShellState.fold),
            class_name="head",
        ),
        ui.link(
            ui.icon("inbox", 14),
            rx.el.span("Inbox"),
            ui.Unread.create(live_name=LiveState.get_full_name(), loaded=ShellState.unread),
            href="/inbox",
            class_name=rx.cond(rx.Var.create(current) == "inbox", "nav-row on", "nav-row"),
        ),
        rx.foreach(ShellState.groups, lambda group: _group(group, current)),
        ui.link(ui.icon("plus", 14), rx.el.span("New project"), href="/projects#new", class_name="nav-row"),
        rx.el.div(
            ui.ThemeSwitch.create(),
            ui.link(
                ui.icon("users", 14),
                rx.el.span("Teams"),
                href="/teams",
                class_name=rx.cond(rx.Var.create(current) == "teams", "nav-row on", "nav-row"),
            ),
            ui.link(
                ui.icon("settings", 14),
                rx.el.span("Settings"),
                href="/settings",
                class_name=rx.cond(rx.Var.create(current) == "settings", "nav-row on", "nav-row"),
            ),
            ui.link(
                ui.icon("circle-user-round", 14),
                rx.el.span("Account"),
                href="/account",
                class_name=rx.cond(rx.Var.create(current) == "account", "nav-row on", "nav-row"),
            ),
            ui.SignOut.create(
                ui.icon("log-out", 14),
                rx.el.span("Sign out ", ShellState.name),
                class_name="nav-row",
            ),
            class_name="foot",
        ),
        class_name="sidebar",
        aria_label="Projects",
    )


def _group(group: rx.Var[Group], current: rx.Var[str] | str) -> rx.Component:
    return rx.fragment(
        rx.cond(
            group.id == "",
            rx.el.span(group.name, class_name="caption meta"),
            ui.link(group.name, href="/teams/" + group.id, title=group.name, class_name="caption meta"),
        ),
        rx.foreach(group.places, lambda place: _place(place, current)),
        key=group.id,
    )


def _place(place: rx.Var[Place], current: rx.Var[str] | str) -> rx.Component:
    return ui.link(
        ui.icon("square-kanban", 14),
        rx.el.span(place.name),
        rx.cond(place.demo, rx.el.span("demo", class_name="tag-demo")),
        href="/p/" + place.id,
        class_name=rx.cond(place.id == current, "nav-row on", "nav-row"),
        key=place.id,
    )


SHORTCUTS = [
    ("c", "New task"),
    ("j k", "Down, up"),
    ("← →", "Column to the left, to the right"),
    ("Enter", "Open the task"),
    ("e", "Execute"),
    ("x", "Select for a batch"),
    ("Shift ↓", "Select the next one too"),
    ("Ctrl a", "Select the column"),
    ("f", "Task on the full page"),
    ("/", "Filter"),
    ("Esc", "Close"),
    ("?", "This list"),
]


def _sheet() -> rx.Component:
    return rx.fragment(
        rx.el.div(class_name="scrim", on_click=ShellState.toggle_sheet),
        rx.el.div(
            rx.el.h2("Keyboard"),
            rx.el.dl(
                *[
                    part
                    for keys, what in SHORTCUTS
                    for part in (
                        rx.el.dt(*[rx.el.kbd(key, margin_right="4px") for key in keys.split()]),
                        rx.el.dd(what),
                    )
                ]
            ),
            class_name="sheet",
            role="dialog",
            aria_label="Keyboard",
        ),
    )
