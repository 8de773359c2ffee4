"""Ways to sign in beside the password: on the sign-in pages, and on one's own account's page."""

from dataclasses import dataclass
from typing import Any

import reflex as rx

from openlinear.components import ui
from openlinear.components.acting import Personal
from openlinear.services import identities, sign_in
from openlinear.services.errors import ServiceError
from openlinear.services.identities import WayView

REPOSITORIES = "repo"


class OtherWays(rx.Component):
    """`Continue with …` for each provider that this server is set up for; nothing without any."""

    library = "$/public/ui/ways.jsx"
    tag = "OtherWays"


class Connect(rx.Component):
    """A button that connects a provider to the account that is logged in."""

    library = "$/public/ui/ways.jsx"
    tag = "Connect"
    provider: rx.Var[str]


@dataclass(frozen=True)
class Way:
    """`detail` is who one is there and what its token is good for; empty while it is not connected."""

    provider: str
    name: str
    connected: bool
    detail: str


class WaysState(Personal, rx.State):
    ways: list[Way] = []
    error: str = ""

    @rx.event
    async def load(self) -> None:
        """For a page's `on_load`: what is connected, and what a connecting that failed means."""
        await self._read()
        self.error = trouble_of(self)

    @rx.event
    async def disconnect(self, provider: str) -> None:
        self.error = ""
        try:
            async with self._acting() as (session, actor):
                await identities.disconnect(session, actor, provider)
        except ServiceError as error:
            self.error = str(error)
        await self._read()

    async def _read(self) -> None:
        async with self._acting() as (session, actor):
            found = await identities.list_ways(session, actor)
        self.ways = [_way(one) for one in found]


def trouble_of(state: rx.State) -> str:
    """What a connecting that failed means, which comes back to the page where it began; empty for none."""
    query = state.router.url.query_parameters
    return sign_in.trouble_words(str(query.get("trouble", "")), str(query.get("by", "")))


def _way(one: WayView) -> Way:
    if one.login is None:
        return Way(one.provider, one.name, False, "Not connected")
    use = ", for its repositories too" if REPOSITORIES in one.scopes else ""
    return Way(one.provider, one.name, True, f"Connected as {one.login}{use}")


def ways_to_sign_in() -> rx.Component:
    """A section of the account's page; nothing where the server is set up for no provider."""
    return rx.cond(
        WaysState.ways,
        rx.el.section(
            rx.el.h2("Ways to sign in"),
            rx.el.div(rx.foreach(WaysState.ways, _row), class_name="rows"),
            ui.error_line(WaysState.error),
            id="ways",
        ),
    )


def _row(way: rx.Var[Way]) -> rx.Component:
    return rx.el.div(
        rx.el.div(
            rx.el.div(way.name, class_name="name"),
            rx.el.div(way.detail, class_name="meta"),
            class_name="grow",
        ),
        rx.cond(
            way.connected,
            rx.fragment(
                Connect.create("Renew", provider=way.provider, class_name="btn ghost"),
                ui.button(
                    "Disconnect",
                    aria_label="Disconnect " + way.name,
                    on_click=WaysState.disconnect(way.provider),
                ),
            ),
            connect_button(way.provider, "Connect " + way.name),
        ),
        key=way.provider,
        class_name="row",
    )


def connect_button(provider: Any, label: Any) -> rx.Component:
    return Connect.create(label, provider=provider, class_name="btn")
