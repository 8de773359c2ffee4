"""What is shown at an address that is no page's."""

import reflex as rx

from openlinear.components import ui


def not_found_page() -> rx.Component:
    return rx.el.main(
        rx.el.div(rx.el.p("OpenLinear", class_name="wordmark"), rx.el.h1("There is no such page")),
        rx.el.p("The address may be mistyped, or what was there is gone.", class_name="meta"),
        ui.link("Go to your projects", href="/", class_name="btn", justify_self="start"),
        class_name="plain",
    )
