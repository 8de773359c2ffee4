"""Logging in and registering. The browser posts to the API, which sets the cookie."""

import reflex as rx

from openlinear.components import ui


def login_page() -> rx.Component:
    return _page(
        "Log in",
        ui.SignIn.create(action="/api/auth/login", fields=["email", "password"], verb="Log in"),
        "No account yet?",
        ui.Way.create("Register", href="/register", class_name="link"),
    )


def register_page() -> rx.Component:
    return _page(
        "Create an account",
        ui.SignIn.create(
            action="/api/auth/register", fields=["name", "email", "password"], verb="Create account"
        ),
        "You have one?",
        ui.Way.create("Log in", href="/login", class_name="link"),
    )


def _page(title: str, form: rx.Component, question: str, way: rx.Component) -> rx.Component:
    return rx.el.main(
        rx.el.div(rx.el.p("OpenLinear", class_name="wordmark"), rx.el.h1(title)),
        form,
        rx.el.p(question, " ", way, class_name="meta"),
        class_name="plain",
    )
