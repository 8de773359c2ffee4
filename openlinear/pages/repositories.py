"""Picking one of one's repositories at GitHub for a new project."""

from dataclasses import dataclass

import reflex as rx

from openlinear.components import ui
from openlinear.components.acting import Personal
from openlinear.components.ways import connect_button, trouble_of
from openlinear.outside import providers
from openlinear.outside.github import Repository
from openlinear.services import github
from openlinear.services.errors import ServiceError

SHOWN = 8
GITHUB = "github"


@dataclass(frozen=True)
class Choice:
    """A repository; `pushed` is in milliseconds, 0 for never."""

    name: str
    full_name: str
    url: str
    private: bool
    pushed: int


class RepositoriesState(Personal, rx.State):
    """`url` and `name` are what was picked: the form begins with them."""

    offered: bool = False
    connected: bool = False
    choices: list[Choice] = []
    none: bool = False
    query: str = ""
    error: str = ""
    url: str = ""
    name: str = ""

    @rx.event(background=True)
    async def load(self) -> None:
        """Without holding the page up: GitHub may be slow."""
        async with self:
            self.reset()
            async with self._acting() as (_, actor):
                pass
            self.error = trouble_of(self)
            self.offered = any(one.id == GITHUB for one in providers.configured())
            if not self.offered:
                return
        connected = await github.connected(actor)
        async with self:
            self.connected = connected
        if connected:
            await self._read("")

    @rx.event(background=True)
    async def search(self, query: str) -> None:
        await self._read(query)

    @rx.event
    async def pick(self, url: str, name: str) -> None:
        self.url, self.name = url, name

    async def _read(self, query: str) -> None:
        async with self:
            self.query = query
            async with self._acting() as (_, actor):
                pass
        try:
            page, error = await github.repositories(actor, q=query, limit=SHOWN), ""
        except ServiceError as refused:
            page, error = None, str(refused)
        async with self:
            if self.query == query:  # a later letter's answer may be here first
                self.choices = [_choice(one) for one in page.items] if page else []
                self.none, self.error = not self.choices, error


def _choice(one: Repository) -> Choice:
    pushed = int(one.pushed_at.timestamp() * 1000) if one.pushed_at else 0
    return Choice(one.name, one.full_name, one.clone_url, one.private, pushed)


def picker() -> rx.Component:
    """Nothing where this server is not set up for GitHub."""
    return rx.cond(RepositoriesState.offered, rx.cond(RepositoriesState.connected, _search(), _connect()))


def _connect() -> rx.Component:
    return rx.fragment(
        rx.el.div(
            rx.el.p(
                "Pick from your repositories, private ones too, once GitHub is connected.", class_name="meta"
            ),
            connect_button(GITHUB, "Connect GitHub"),
            class_name="setting",
        ),
        ui.error_line(RepositoriesState.error),
    )


def _search() -> rx.Component:
    return rx.el.div(
        rx.el.label(
            "Your repositories on GitHub",
            rx.el.input(
                class_name="input",
                type="search",
                placeholder="Search by name",
                auto_complete="off",
                on_change=RepositoriesState.search.debounce(250),
            ),
            class_name="field",
        ),
        ui.error_line(RepositoriesState.error),
        rx.cond(
            RepositoriesState.choices,
            rx.el.div(rx.foreach(RepositoriesState.choices, _row), class_name="rows picks"),
        ),
        rx.cond(
            (RepositoriesState.query != "") & RepositoriesState.none & (RepositoriesState.error == ""),
            rx.el.p("None of your repositories has this in its name.", class_name="meta"),
        ),
        class_name="form",
    )


def _row(one: rx.Var[Choice]) -> rx.Component:
    return ui.button(
        ui.icon("folder-git-2", 14),
        rx.el.span(rx.el.div(one.full_name, class_name="name"), class_name="grow"),
        rx.cond(one.private, rx.el.span("private", class_name="meta")),
        ui.Ago.create(at=one.pushed),
        aria_pressed=RepositoriesState.url == one.url,
        class_name="row",
        key=one.full_name,
        on_click=RepositoriesState.pick(one.url, one.name),
    )
