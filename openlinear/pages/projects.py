"""Choosing a project, making one, and the demo."""

from dataclasses import dataclass
from typing import Any

import reflex as rx

from openlinear.components import shell, ui
from openlinear.components.acting import Personal, an_id
from openlinear.components.notice import NoticeState, leaving, notice
from openlinear.live import LiveState
from openlinear.pages.checks import ChecksState, checks_field, checks_form, commands_of
from openlinear.pages.repositories import RepositoriesState, picker
from openlinear.services import demo, projects, teams
from openlinear.services.errors import Invalid, ServiceError


@dataclass(frozen=True)
class Home:
    """A team that this person may make projects in."""

    id: str
    name: str


class ProjectsState(Personal, rx.State):
    offered: bool = False
    homes: list[Home] = []
    ready: bool = False
    error: str = ""
    busy: bool = False

    @rx.event
    async def load(self) -> None:
        async with self._acting() as (session, actor):
            self.offered = await demo.demo_offered(session, actor)
            found = await teams.list_teams(session, actor)
        self.homes = [Home(str(one.id), one.name) for one in found if one.role != "member"]
        self.ready = True
        self.error, self.busy = "", False

    @rx.event
    async def to_last(self) -> Any:
        """`/` is the newest board this person has; without any, this page."""
        async with self._acting() as (session, actor):
            own = await projects.list_projects(session, actor)
        return rx.redirect(f"/p/{own[-1].id}" if own else "/projects", replace=True)

    @rx.event
    async def try_demo(self) -> Any:
        async with self._acting() as (session, actor):
            project, _ = await demo.create_demo(session, actor)
        return rx.redirect(f"/p/{project.id}")

    @rx.event
    async def create(self, data: dict[str, Any]) -> Any:
        """Make a project once its remote has been read, which can take some seconds."""
        self.error, self.busy = "", True
        yield
        url, home = str(data.get("url", "")).strip(), str(data.get("home", ""))
        wanted = projects.ProjectInput(
            name=str(data.get("name", "")).strip() or name_of(url),
            clone_url=url,
            default_branch=str(data.get("branch", "")).strip() or None,
            remote_username=str(data.get("username", "")).strip() or None,
            remote_password=str(data.get("password", "")) or None,
            team_id=an_id(home) if home else None,
            checks=commands_of(data),
        )
        try:
            async with self._acting() as (_, actor):
                pass
            made = await projects.create_project(actor, wanted)
        except Invalid as error:
            self.error = " ".join([str(error), *error.fields.values()])
        except ServiceError as error:
            self.error = str(error)
        else:
            self.busy = False
            yield rx.redirect(f"/p/{made.id}")
        self.busy = False


def name_of(url: str) -> str:
    """A repository's name, from its clone URL."""
    return url.rstrip("/").rsplit("/", 1)[-1].removesuffix(".git") or "Project"


def projects_page() -> rx.Component:
    return shell.shell(
        rx.el.header(shell.unfold_button(), rx.el.h1("Projects"), class_name="topbar"),
        shell.banners(LiveState.get_full_name(), ProjectsState.load),
        rx.el.main(
            rx.cond(ProjectsState.ready & ProjectsState.offered, _demo()),
            rx.foreach(shell.ShellState.groups, _group),
            _new(),
            class_name="content",
        ),
        notice(NoticeState.close),
        current="projects",
    )


def _demo() -> rx.Component:
    return rx.el.section(
        rx.el.div(
            rx.el.div(
                rx.el.h2("See it work first"),
                rx.el.p(
                    "A small repository on this machine with three tasks. They are done by the real agent, "
                    "with a scripted model instead of a real one: no account and no key needed."
                ),
            ),
            rx.el.button("Try the demo project", class_name="btn", on_click=ProjectsState.try_demo),
            class_name="offer",
        )
    )


def _group(group: rx.Var[shell.Group]) -> rx.Component:
    return rx.cond(
        group.places,
        rx.el.section(
            rx.el.h2(rx.cond(group.id == "", "Yours", group.name)),
            rx.el.div(rx.foreach(group.places, _row), class_name="rows"),
            key=group.id,
        ),
    )


def _row(place: rx.Var[shell.Place]) -> rx.Component:
    return rx.el.div(
        ui.link(
            ui.icon("square-kanban", 16),
            rx.el.span(rx.el.div(place.name, class_name="name"), class_name="grow"),
            rx.cond(place.demo, shell.demo_tag()),
            href="/p/" + place.id,
            class_name="row",
        ),
        ui.button(
            "Checks",
            class_name="btn ghost",
            aria_expanded=ChecksState.project_id == place.id,
            on_click=ChecksState.toggle(place.id),
        ),
        checks_form(place.id),
        key=place.id,
        class_name="with-form",
    )


def _new() -> rx.Component:
    return rx.el.section(
        rx.el.h2("New project"),
        picker(),
        rx.el.form(
            ui.field(
                "Clone URL",
                "The repository that agents work on. It is read before the project is made.",
                name="url",
                placeholder="https://github.com/you/repository.git",
                type="text",
                input_mode="url",
                default_value=RepositoriesState.url,
                key="url " + RepositoriesState.url,
            ),
            rx.cond(
                ProjectsState.homes,
                rx.el.label(
                    "For",
                    rx.el.select(
                        rx.el.option("Yourself", value=""),
                        rx.foreach(ProjectsState.homes, lambda home: rx.el.option(home.name, value=home.id)),
                        name="home",
                        class_name="select",
                    ),
                    rx.el.span("A project stays with its owner or team.", class_name="meta"),
                    class_name="field",
                ),
            ),
            rx.el.div(
                ui.field(
                    "Name",
                    "Empty: the repository's name.",
                    name="name",
                    required=False,
                    max_length=100,
                    default_value=RepositoriesState.name,
                    key="name " + RepositoriesState.url,
                ),
                ui.field("Default branch", "Empty: what the remote says.", name="branch", required=False),
                class_name="pair",
            ),
            rx.el.div(
                ui.field(
                    "Username",
                    "Only for a private remote.",
                    name="username",
                    required=False,
                    auto_complete="off",
                ),
                ui.field(
                    "Password or token",
                    "Kept encrypted, never shown again.",
                    name="password",
                    required=False,
                    type="password",
                    auto_complete="new-password",
                ),
                class_name="pair",
            ),
            checks_field(),
            ui.error_line(ProjectsState.error),
            rx.el.button(
                rx.cond(ProjectsState.busy, "Reading the repository", "Create project"),
                class_name="btn primary",
                type="submit",
                disabled=ProjectsState.busy,
            ),
            on_submit=ProjectsState.create,
            class_name="form",
        ),
        id="new",
    )


def home_page() -> rx.Component:
    """Nothing to see: on the way to the last board."""
    return rx.el.main(leaving(), class_name="board", aria_busy=True)
