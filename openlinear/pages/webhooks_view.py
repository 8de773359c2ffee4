"""How the page of webhooks looks."""

from typing import Any

import reflex as rx

from openlinear.components import shell, ui
from openlinear.components.notice import NoticeState, notice
from openlinear.live import LiveState
from openlinear.pages.webhooks import Hook, Sent, Source, WebhooksState
from openlinear.services.webhook_events import EVENTS

OWN = "/settings/webhooks"
OF_TEAM = "/teams/[at_team]/webhooks"


def webhooks_page() -> rx.Component:
    return shell.shell(
        rx.el.header(
            shell.unfold_button(),
            rx.el.h1(
                rx.cond(
                    WebhooksState.at_team != "",
                    ui.link(WebhooksState.team, href="/teams/" + WebhooksState.at_team, class_name="crumb"),
                    ui.link("Settings", href="/settings", class_name="crumb"),
                ),
                "Webhooks",
            ),
            class_name="topbar",
        ),
        shell.banners(LiveState.get_full_name(), WebhooksState.load),
        rx.el.main(
            rx.cond(
                WebhooksState.missing,
                rx.el.section(rx.el.p("This does not exist, or you may not see it.")),
                rx.cond(WebhooksState.ready, rx.fragment(_out(), _add(), _in())),
            ),
            class_name="content",
        ),
        notice(NoticeState.close),
        current=rx.cond(WebhooksState.at_team == "", "settings", "teams"),
    )


def _out() -> rx.Component:
    return rx.el.section(
        rx.el.h2("Who is told"),
        rx.cond(
            WebhooksState.hooks,
            rx.el.div(rx.foreach(WebhooksState.hooks, _hook), class_name="rows"),
            rx.el.p("Nobody yet.", class_name="meta"),
        ),
    )


def _hook(one: rx.Var[Hook]) -> rx.Component:
    return rx.fragment(
        rx.el.div(
            rx.el.div(
                rx.el.div(one.url, class_name="name", title=one.url),
                rx.el.div(one.about, class_name="meta"),
                rx.cond(one.trouble != "", rx.el.div(one.trouble, class_name="error-line")),
                class_name="grow",
            ),
            rx.cond(WebhooksState.asking == one.id, _sure(one), _acts(one)),
            class_name="row wraps",
        ),
        _secret(one.id),
        rx.cond(
            WebhooksState.open == one.id,
            rx.cond(
                WebhooksState.sent,
                rx.fragment(rx.foreach(WebhooksState.sent, _sent)),
                rx.el.div(
                    rx.el.span("Nothing was sent in the last 30 days.", class_name="meta"), class_name="row"
                ),
            ),
        ),
    )


def _acts(one: rx.Var[Hook]) -> rx.Component:
    return rx.el.span(
        rx.el.input(
            type="checkbox",
            checked=one.enabled,
            on_change=lambda on: WebhooksState.enable(one.id, on),
            aria_label="Enabled",
            title="Enabled",
        ),
        _button("Deliveries", WebhooksState.show(one.id)),
        _button("Send a test", [WebhooksState.test(one.id), WebhooksState.watch]),
        _button("New secret", WebhooksState.rotate(one.id)),
        _button("Delete", WebhooksState.ask(one.id)),
        class_name="acts",
    )


def _sure(one: rx.Var[Hook]) -> rx.Component:
    return rx.el.span(
        rx.el.span("Delete it with its log?", class_name="meta"),
        _button("Delete", WebhooksState.remove(one.id), "btn danger"),
        _button("Keep", WebhooksState.ask("")),
        class_name="acts",
        role="group",
    )


def _sent(one: rx.Var[Sent]) -> rx.Component:
    return rx.el.div(
        rx.el.span(one.type, class_name="mono"),
        rx.el.span(one.said, class_name="grow wrap meta"),
        ui.Ago.create(at=one.at, class_name="meta"),
        rx.cond(
            one.status != "pending", _button("Send again", [WebhooksState.again(one.id), WebhooksState.watch])
        ),
        class_name="row wraps delivery",
        key=one.id,
    )


def _secret(whose: rx.Var[str]) -> rx.Component:
    shown = rx.el.div(
        rx.el.span(WebhooksState.secret, class_name="mono grow wrap", id="made-secret"),
        ui.Copy.create(key=WebhooksState.secret, text=WebhooksState.secret, label="Copy the secret"),
        rx.el.span("Shown this once.", class_name="meta", role="status"),
        class_name="row",
    )
    return rx.cond(WebhooksState.secret_of == whose, shown)


def _add() -> rx.Component:
    return rx.el.section(
        rx.el.h2("Tell another address"),
        rx.el.p(
            "Each message is signed as the Standard Webhooks specification says, and sent again until it is "
            "taken, for a day and a half.",
            class_name="meta",
        ),
        rx.el.form(
            _input("URL", name="url", type="url", placeholder="https://example.com/hook", required=True),
            _input("Description", name="description", max_length=200),
            rx.el.div(*[_event(name) for name in EVENTS], class_name="pair three"),
            ui.error_line(WebhooksState.error),
            rx.el.button("Add webhook", class_name="btn primary", type="submit"),
            on_submit=WebhooksState.add,
            class_name="form",
        ),
    )


def _event(name: str) -> rx.Component:
    box = rx.el.input(type="checkbox", name=name, default_checked=True)
    return rx.el.label(rx.el.span(name, class_name="mono"), box, class_name="setting")


def _in() -> rx.Component:
    return rx.el.section(
        rx.el.h2("What GitHub tells"),
        rx.el.p(
            "A merged pull request moves its card to Done. In the repository's settings at GitHub, add a "
            "webhook of the content type application/json, for pull requests.",
            class_name="meta",
        ),
        rx.cond(
            WebhooksState.sources,
            rx.el.div(rx.foreach(WebhooksState.sources, _source), class_name="rows"),
            rx.el.p("None of the projects here is on GitHub.", class_name="meta"),
        ),
    )


def _source(one: rx.Var[Source]) -> rx.Component:
    return rx.fragment(
        rx.el.div(
            rx.el.div(
                rx.el.div(one.name, class_name="name"),
                rx.cond(one.on, rx.el.div(one.url, class_name="meta mono", title=one.url)),
                rx.cond(
                    one.on,
                    rx.el.div(
                        rx.cond(
                            one.heard > 0,
                            rx.fragment("Heard ", ui.Ago.create(at=one.heard)),
                            "Nothing heard yet",
                        ),
                        class_name="meta",
                    ),
                ),
                class_name="grow",
            ),
            rx.el.span(
                _button(rx.cond(one.on, "New secret", "Set up"), WebhooksState.listen(one.id)),
                rx.cond(one.on, _button("Remove", WebhooksState.deafen(one.id))),
                class_name="acts",
            ),
            class_name="row wraps",
        ),
        _secret(one.id),
    )


def _button(label: Any, on_click: Any, class_name: str = "btn") -> rx.Component:
    return ui.button(label, class_name=class_name, on_click=on_click)


def _input(label: str, **props: Any) -> rx.Component:
    return rx.el.label(label, rx.el.input(class_name="input", **props), class_name="field")
