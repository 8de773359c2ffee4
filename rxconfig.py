"""Reflex's configuration. The page finds its server where it came from (see openlinear/frontend.py)."""

import reflex as rx

from openlinear.settings import get_settings

config = rx.Config(
    app_name="openlinear",
    # A page's state is read again from the database on every connection. On disk it would lie with
    # the connection's headers, the session cookie among them.
    state_manager_mode=rx.constants.StateManagerMode.MEMORY,
    cors_allowed_origins=get_settings().origins,
    show_built_with_reflex=False,
    telemetry_enabled=False,
    disable_plugins=[rx.plugins.SitemapPlugin],
    frontend_packages=[
        "@radix-ui/colors@3.0.0",
        "@fontsource-variable/inter@5.3.0",
        "@fontsource-variable/jetbrains-mono@5.3.0",
    ],
)
