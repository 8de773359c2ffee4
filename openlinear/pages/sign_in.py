"""Before one is signed in: logging in, registering, a forgotten password. The browser posts to the API,
which sets the cookie.
"""

import reflex as rx

from openlinear.components import ui
from openlinear.components.ways import OtherWays


def login_page() -> rx.Component:
    return _page(
        "Log in",
        ui.SignIn.create(action="/api/auth/login", fields=["email", "password"], verb="Log in"),
        OtherWays.create(),
        rx.el.p(
            "No account yet? ",
            ui.Way.create("Register", href="/register", class_name="link"),
            rx.el.br(),
            ui.Way.create("Forgot password?", href="/forgot", class_name="link"),
            class_name="meta",
        ),
    )


def register_page() -> rx.Component:
    return _page(
        "Create an account",
        ui.Register.create(
            action="/api/auth/register", fields=["name", "email", "password"], verb="Create account"
        ),
        OtherWays.create(),
        rx.el.p(
            "You have one? ", ui.Way.create("Log in", href="/login", class_name="link"), class_name="meta"
        ),
    )


def forgot_page() -> rx.Component:
    form = ui.Ask.create(
        ui.field("Email", name="email", type="email", auto_complete="email", auto_focus=True),
        action="/api/auth/forgot",
        verb="Send me a link",
        done="If an account has this email, a link is on its way to it. It works once, for 60 minutes.",
    )
    return _page("Forgot your password?", ui.ByMail.create(form), _back())


def reset_page() -> rx.Component:
    return _page(
        "Choose a new password",
        rx.el.p(
            "It ends all your logins and access tokens, and disconnects GitHub and other accounts that you "
            "sign in with. Connect them again on your account page.",
            class_name="meta",
        ),
        ui.Ask.create(
            ui.field(
                "New password",
                name="newPassword",
                type="password",
                auto_complete="new-password",
                min_length=8,
                auto_focus=True,
            ),
            action="/api/auth/reset",
            carries="token",
            verb="Set the password",
            to="/login",
        ),
        _back(),
    )


def administrator_page() -> rx.Component:
    """What the server's console links to."""
    return _page(
        "Become the administrator",
        rx.el.p(
            "This server has none yet. Administrators see all accounts, invite people and disable accounts. "
            "They see no more of others' projects than anybody.",
        ),
        ui.Ask.create(
            action="/api/account/administrator",
            carries="token",
            verb="Become the administrator",
            to="/administration",
        ),
        rx.el.p(
            "Not signed in? ",
            rx.el.a("Log in", href="/login?next=/administrator", class_name="link"),
            " or ",
            rx.el.a("register", href="/register?next=/administrator", class_name="link"),
            " first; you come back here.",
            class_name="meta",
        ),
    )


def _back() -> rx.Component:
    return rx.el.p(ui.Way.create("Back to log in", href="/login", class_name="link"), class_name="meta")


def _page(title: str, *children: rx.Component) -> rx.Component:
    return rx.el.main(
        rx.el.div(rx.el.p("OpenLinear", class_name="wordmark"), rx.el.h1(title)),
        *children,
        class_name="plain",
    )
