"""The page of one's own account: who one is, the password, logins, access tokens."""

import reflex as rx

from openlinear.components import shell, ui
from openlinear.components.notice import NoticeState, notice
from openlinear.components.ways import ways_to_sign_in
from openlinear.live import LiveState
from openlinear.pages.account import AccountState, Login, Token


def account_page() -> rx.Component:
    return shell.shell(
        rx.el.header(shell.unfold_button(), rx.el.h1("Account"), class_name="topbar"),
        shell.banners(LiveState.get_full_name(), AccountState.load),
        rx.el.main(_you(), _password(), ways_to_sign_in(), _logins(), _tokens(), class_name="content"),
        notice(NoticeState.close),
        current="account",
    )


def _you() -> rx.Component:
    return rx.el.section(
        rx.el.div(rx.el.span("Name"), rx.el.span(AccountState.name), class_name="setting"),
        rx.el.div(rx.el.span("Email"), rx.el.span(AccountState.email), class_name="setting"),
        rx.cond(
            AccountState.admin,
            rx.el.div(
                rx.el.span("You are an administrator of this server"),
                ui.link("Administration", href="/administration", class_name="btn"),
                class_name="setting",
            ),
        ),
    )


def _password() -> rx.Component:
    return rx.el.section(
        rx.el.h2("Password"),
        rx.el.p(
            "A new one ends your other logins and all your access tokens. You stay signed in here.",
            class_name="meta",
        ),
        ui.Ask.create(
            rx.el.div(
                ui.field(
                    "Current password",
                    name="currentPassword",
                    type="password",
                    auto_complete="current-password",
                ),
                ui.field(
                    "New password",
                    name="newPassword",
                    type="password",
                    auto_complete="new-password",
                    min_length=8,
                ),
                class_name="pair",
            ),
            action="/api/account/password",
            verb="Change password",
            done="Your password is changed. Your other logins and your access tokens have ended.",
            quiet=True,
            on_done=AccountState.load,
        ),
    )


def _logins() -> rx.Component:
    return rx.el.section(
        rx.el.h2("Logins"),
        rx.el.div(rx.foreach(AccountState.logins, _login_row), class_name="rows"),
        rx.cond(AccountState.more > 0, rx.el.p("And ", AccountState.more, " more.", class_name="meta num")),
        rx.cond(
            AccountState.logins.length() > 1,  # type: ignore[attr-defined]
            ui.button(
                "End all others",
                justify_self="start",
                on_click=AccountState.end_others,
            ),
        ),
    )


def _login_row(one: rx.Var[Login]) -> rx.Component:
    return rx.el.div(
        rx.el.span(
            rx.el.div(one.device, class_name="name"),
            rx.el.div(one.address, " · used ", ui.Ago.create(at=one.used), class_name="meta num"),
            class_name="grow",
        ),
        rx.cond(
            one.current,
            rx.el.span("This one", class_name="meta"),
            ui.button(
                "End",
                custom_attrs={"aria-label": "End the login of " + one.device},
                on_click=AccountState.end(one.id),
            ),
        ),
        class_name="row",
        key=one.id,
    )


def _tokens() -> rx.Component:
    return rx.el.section(
        rx.el.h2("Access tokens"),
        rx.el.p(
            "A program sends one as a Bearer token and acts in your name. It cannot change how you sign in.",
            class_name="meta",
        ),
        ui.Ask.create(
            rx.el.div(
                ui.field("Name", name="name", max_length=100, auto_complete="off"),
                ui.choice("May", "scope", (("read", "Read"), ("write", "Read and write"))),
                ui.choice(
                    "Works for",
                    "days",
                    (("90", "90 days"), ("7", "7 days"), ("30", "30 days"), ("365", "A year")),
                ),
                class_name="pair three",
            ),
            action="/api/account/tokens",
            verb="Make a token",
            reveal="token",
            done="Copy it now. It is shown this once.",
            quiet=True,
            on_done=AccountState.load,
        ),
        rx.cond(
            AccountState.tokens,
            rx.el.div(rx.foreach(AccountState.tokens, _token_row), class_name="rows"),
            rx.el.p("There is none.", class_name="meta"),
        ),
    )


def _token_row(one: rx.Var[Token]) -> rx.Component:
    return rx.el.div(
        ui.icon("key-round", 14),
        rx.el.span(
            rx.el.div(one.name, class_name="name", title=one.name),
            rx.el.div(
                one.may,
                ", until ",
                one.ends,
                rx.cond(one.used == 0, " · never used", rx.fragment(" · used ", ui.Ago.create(at=one.used))),
                class_name="meta num",
            ),
            class_name="grow",
        ),
        ui.button(
            "Revoke",
            custom_attrs={"aria-label": "Revoke " + one.name},
            on_click=AccountState.revoke(one.id),
        ),
        class_name="row",
        key=one.id,
    )
