"""Reflex's configuration. The page finds its server where it came from (see openlinear/frontend.py)."""

from urllib.parse import urlsplit

import reflex as rx

from openlinear.settings import get_settings

settings = get_settings()


def origins() -> list[str]:
    """Who may open the websocket: the public address alone, under each of this machine's names for it."""
    address = urlsplit(settings.public_url)
    names = {address.hostname}
    if names & {"localhost", "127.0.0.1"}:
        names |= {"localhost", "127.0.0.1"}
    port = f":{address.port}" if address.port else ""
    return sorted(f"{address.scheme}://{name}{port}" for name in names)


config = rx.Config(
    app_name="openlinear",
    # A page's state is read again from the database on every connection. On disk it would lie with
    # the connection's headers, the session cookie among them.
    state_manager_mode=rx.constants.StateManagerMode.MEMORY,
    cors_allowed_origins=origins(),
    show_built_with_reflex=False,
    telemetry_enabled=False,
    disable_plugins=[rx.plugins.SitemapPlugin],
    frontend_packages=[
        "@radix-ui/colors@3.0.0",
        "@fontsource-variable/inter@5.3.0",
        "@fontsource-variable/jetbrains-mono@5.3.0",
    ],
)
