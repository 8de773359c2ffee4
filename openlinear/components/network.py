"""What one's agents reach, as chosen on the settings page."""

from typing import Any

import reflex as rx

from openlinear.components import ui
from openlinear.components.acting import Personal
from openlinear.services import preferences, sandbox
from openlinear.services.errors import ServiceError

MODES = (
    ("listed", "Listed hosts: package registries and those below"),
    ("open", "Every public host"),
    ("none", "No host but the model's"),
)
UNKEPT = (
    "Agents run as processes of the server here and share its network, so this choice is not enforced. It is "
    "where agents run in Docker."
)


class NetworkState(Personal, rx.State):
    network: str = "listed"
    hosts: str = ""
    """One on a line."""
    kept: bool = True
    """Whether the sandbox keeps agents to it."""
    network_error: str = ""
    refused: list[str] = []
    asked: bool = False
    asking: bool = False

    @rx.event
    async def load(self) -> None:
        async with self._acting() as (session, actor):
            chosen = await preferences.get_settings(session, actor)
            self.kept = await sandbox.keeps_egress(session, actor)
        self.network, self.hosts = chosen.network, "\n".join(chosen.network_hosts)
        self.asked = False

    @rx.event
    async def set_network(self, mode: str) -> None:
        await self._save({"network": mode})

    @rx.event
    async def set_hosts(self, text: str) -> None:
        """The field was left; most often nothing was changed in it."""
        hosts = text.replace(",", " ").split()
        if hosts != self.hosts.split() or self.network_error:
            await self._save({"network_hosts": hosts})

    @rx.event
    async def show_refused(self) -> Any:
        """Asked of the engine, which alone knows it."""
        self.network_error, self.asking = "", True
        yield
        try:
            async with self._acting() as (_, actor):
                pass
            self.refused, self.asked = await sandbox.refused_hosts(actor), True
        except ServiceError as error:
            self.network_error = str(error)
        finally:
            self.asking = False

    async def _save(self, patch: preferences.SettingsPatch) -> None:
        self.network_error = ""
        try:
            async with self._acting() as (session, actor):
                chosen = await preferences.update_settings(session, actor, patch)
        except ServiceError as error:
            self.network_error = str(error)
        else:
            self.network, self.hosts = chosen.network, "\n".join(chosen.network_hosts)


def network_section() -> rx.Component:
    return rx.el.section(
        rx.el.h2("Network"),
        rx.el.p(
            "What your agents, and the checks of your batches, reach by HTTP. The hosts of your model "
            "providers are always among it, since no agent works without its model. A change holds at once.",
            class_name="meta",
        ),
        rx.el.label(
            rx.el.span("Agents reach"),
            rx.el.select(
                *[rx.el.option(title, value=mode) for mode, title in MODES],
                value=NetworkState.network,
                on_change=NetworkState.set_network,
                class_name="select",
            ),
            class_name="setting",
        ),
        rx.cond(
            NetworkState.network == "listed",
            rx.el.label(
                "Further hosts, one on a line",
                rx.el.textarea(
                    id="network-hosts",
                    key=NetworkState.hosts,
                    default_value=NetworkState.hosts,
                    placeholder="npm.example.com\n*.example.org\nregistry.example.net:8443",
                    rows=4,
                    spell_check=False,
                    auto_complete="off",
                    class_name="input",
                    on_blur=NetworkState.set_hosts,
                ),
                class_name="field",
            ),
        ),
        rx.cond(NetworkState.kept, _refused(), rx.el.p(UNKEPT, class_name="meta")),
        ui.error_line(NetworkState.network_error),
    )


def _refused() -> rx.Component:
    """Of all this person's projects: nobody else sees it."""
    return rx.fragment(
        rx.el.div(
            rx.el.span("Hosts that were refused to your agents of late"),
            ui.button(
                rx.cond(NetworkState.asking, "Asking", "Show"),
                disabled=NetworkState.asking,
                on_click=NetworkState.show_refused,
                aria_label="Show refused hosts",
            ),
            class_name="setting",
        ),
        rx.cond(
            NetworkState.asked,
            rx.cond(
                NetworkState.refused,
                rx.el.ul(
                    rx.foreach(NetworkState.refused, rx.el.li), class_name="meta", aria_label="Refused hosts"
                ),
                rx.el.p("None was.", class_name="meta", role="status"),
            ),
        ),
    )
