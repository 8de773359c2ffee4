"""How a team's page looks."""

import reflex as rx

from openlinear.components import shell, ui
from openlinear.components.audit import Deed
from openlinear.components.limits import limit_fields
from openlinear.components.notice import NoticeState, notice
from openlinear.live import LiveState
from openlinear.pages.team import TeamState
from openlinear.pages.team_people import confirm, invitations, members, projects

ROUTE = "/teams/[at_team]"


def team_page() -> rx.Component:
    return shell.shell(
        rx.el.header(
            shell.unfold_button(),
            rx.el.h1(ui.link("Teams", href="/teams", class_name="crumb"), TeamState.name),
            class_name="topbar",
        ),
        shell.banners(LiveState.get_full_name(), TeamState.load),
        rx.el.main(
            rx.cond(
                TeamState.missing,
                rx.el.section(
                    rx.el.p("This team does not exist, or you are not in it."),
                    ui.link("See your teams", href="/teams", class_name="btn", justify_self="start"),
                ),
                rx.cond(
                    TeamState.team_id != "",
                    rx.fragment(
                        projects(),
                        members(),
                        rx.cond(TeamState.manages, invitations()),
                        _limits(),
                        rx.cond(TeamState.manages, rx.fragment(_webhooks(), _name(), _log())),
                        rx.cond(TeamState.role == "owner", _end()),
                    ),
                    _bones(),
                ),
            ),
            class_name="content",
        ),
        notice(NoticeState.close),
        current="teams",
    )


def _bones() -> rx.Component:
    return rx.el.section(
        rx.el.div(class_name="bone short"),
        rx.el.div(class_name="bone"),
        class_name="bones",
        aria_busy=True,
    )


def _limits() -> rx.Component:
    return rx.el.section(
        rx.el.h2("Limits of a run"),
        rx.el.p(
            "They hold for every run in this team's projects, whoever executes. Nobody's own limits go "
            "above them.",
            class_name="meta",
        ),
        rx.cond(
            TeamState.manages,
            limit_fields(TeamState.bounds, TeamState.set_limit),
            rx.foreach(
                TeamState.bounds,
                lambda bound: rx.el.div(
                    rx.el.span(bound.label),
                    rx.el.span(rx.cond(bound.value != "", bound.value, bound.applies), class_name="num meta"),
                    class_name="setting",
                ),
            ),
        ),
        ui.error_line(TeamState.bounds_error),
    )


def _webhooks() -> rx.Component:
    return rx.el.section(
        rx.el.h2("Webhooks"),
        rx.el.div(
            rx.el.span("Who is told when its runs end, and what GitHub tells", class_name="meta"),
            ui.link("Open webhooks", href="/teams/" + TeamState.team_id + "/webhooks", class_name="btn"),
            class_name="setting",
        ),
    )


def _name() -> rx.Component:
    return rx.el.section(
        rx.el.h2("Name"),
        rx.el.div(
            rx.el.input(
                key=TeamState.name,
                aria_label="Name",
                default_value=TeamState.name,
                max_length=100,
                auto_complete="off",
                class_name="input",
                on_blur=TeamState.rename,
            ),
            rx.el.span(
                "Task numbers begin with ",
                rx.el.span(TeamState.key, class_name="mono"),
                ", which stays.",
                class_name="meta",
            ),
            class_name="field",
        ),
        ui.error_line(TeamState.error),
    )


def _log() -> rx.Component:
    return rx.el.section(
        rx.el.h2("Who did what"),
        rx.el.div(rx.foreach(TeamState.deeds, _deed), class_name="rows"),
        rx.cond(
            TeamState.more != "",
            ui.button(
                "Show earlier",
                justify_self="start",
                on_click=TeamState.more_deeds,
            ),
        ),
    )


def _deed(one: rx.Var[Deed]) -> rx.Component:
    return rx.el.div(
        rx.el.span(rx.el.span(one.who, font_weight="500"), " ", one.text, class_name="grow wrap"),
        ui.Ago.create(at=one.at, class_name="meta"),
        class_name="row deed",
        key=one.id,
    )


def _end() -> rx.Component:
    return rx.el.section(
        rx.el.h2("Delete the team"),
        rx.el.div(
            rx.el.span("Its projects go first, one by one.", class_name="meta"),
            rx.cond(
                TeamState.asking == "team",
                confirm("Delete it for all members?", "Delete team", TeamState.delete),
                ui.button("Delete team", class_name="btn danger", on_click=TeamState.ask("team")),
            ),
            class_name="setting",
        ),
    )
