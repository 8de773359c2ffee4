"""The parts of a team's page about what and who is in it, and who may come."""

from typing import Any

import reflex as rx

from openlinear.components import ui
from openlinear.pages.team import Link, Person, Place, TeamState


def projects() -> rx.Component:
    return rx.el.section(
        rx.el.h2("Projects"),
        rx.cond(
            TeamState.places,
            rx.el.div(rx.foreach(TeamState.places, _place), class_name="rows"),
            rx.el.p("None yet.", class_name="meta"),
        ),
        rx.cond(
            TeamState.manages,
            ui.link("New project", href="/projects#new", class_name="btn", justify_self="start"),
        ),
    )


def _place(place: rx.Var[Place]) -> rx.Component:
    return rx.el.div(
        rx.el.span(
            ui.link(place.name, href="/p/" + place.id, class_name="name", title=place.name), class_name="grow"
        ),
        rx.cond(
            TeamState.manages,
            rx.cond(
                TeamState.asking == place.id,
                confirm(
                    "Delete it with its tasks? What was pushed stays.",
                    "Delete",
                    TeamState.remove_project(place.id),
                ),
                rx.el.span(
                    ui.button(
                        "Delete",
                        custom_attrs={"aria-label": "Delete " + place.name},
                        on_click=TeamState.ask(place.id),
                    ),
                    class_name="acts",
                ),
            ),
        ),
        class_name="row wraps",
        key=place.id,
    )


def members() -> rx.Component:
    return rx.el.section(
        rx.el.h2("Members"),
        rx.el.div(rx.foreach(TeamState.people, _person), class_name="rows"),
        rx.el.p(
            "Members work with tasks and labels, and execute with keys of their own. Admins also manage "
            "projects, limits and members. Owners may do everything.",
            class_name="meta",
        ),
    )


def _person(one: rx.Var[Person]) -> rx.Component:
    return rx.el.div(
        rx.el.div(
            rx.el.div(one.name, class_name="name", title=one.name),
            rx.el.div("@", one.username, rx.cond(one.own, " · you", ""), class_name="meta"),
            class_name="grow",
        ),
        rx.cond(
            TeamState.asking == one.id,
            confirm(
                rx.cond(
                    one.own, "Leave the team? Your runs in it end.", "Remove them? Their runs in it end."
                ),
                rx.cond(one.own, "Leave", "Remove"),
                TeamState.remove(one.id),
            ),
            rx.el.span(
                rx.cond(
                    one.settable,
                    rx.el.select(
                        rx.cond(TeamState.role == "owner", rx.el.option("Owner", value="owner")),
                        rx.el.option("Admin", value="admin"),
                        rx.el.option("Member", value="member"),
                        key=one.id + one.role,
                        value=one.role,
                        on_change=lambda role: TeamState.set_role(one.id, role),
                        aria_label="Role of " + one.name,
                        class_name="select role",
                    ),
                    rx.el.span(one.role, class_name="meta"),
                ),
                rx.cond(
                    one.removable,
                    ui.button(
                        rx.cond(one.own, "Leave", "Remove"),
                        on_click=TeamState.ask(one.id),
                    ),
                ),
                class_name="acts",
            ),
        ),
        class_name="row wraps",
        key=one.id,
    )


def confirm(question: Any, verb: Any, on_click: Any) -> rx.Component:
    """What cannot come back is asked about, in its place."""
    return rx.el.span(
        rx.el.span(question, class_name="meta"),
        ui.button(verb, class_name="btn danger", auto_focus=True, on_click=on_click),
        ui.button("Keep", on_click=TeamState.ask("")),
        class_name="acts",
        role="group",
    )


def invitations() -> rx.Component:
    return rx.el.section(
        rx.el.h2("Invite people"),
        rx.el.form(
            rx.el.div(
                ui.choice("As", "role", (("member", "Member"), ("admin", "Admin"))),
                ui.choice("Works for", "days", (("7", "7 days"), ("1", "1 day"), ("30", "30 days"))),
                ui.choice(
                    "Lets in", "uses", (("1", "One person"), ("10", "10 people"), ("100", "100 people"))
                ),
                class_name="pair three",
            ),
            rx.el.button("Make a link", class_name="btn primary", type="submit"),
            on_submit=TeamState.invite,
            class_name="form",
        ),
        rx.cond(
            TeamState.made != "",
            rx.el.div(
                rx.el.div(
                    rx.el.span(TeamState.made, class_name="mono grow wrap", id="made-link"),
                    ui.Copy.create(key=TeamState.made, text=TeamState.made, label="Copy the link"),
                    class_name="row",
                ),
                class_name="rows",
            ),
        ),
        rx.cond(
            TeamState.made != "",
            rx.el.p("Send it to whom you want in. It is shown this once.", class_name="meta", role="status"),
        ),
        rx.cond(
            TeamState.links,
            rx.el.div(rx.foreach(TeamState.links, _link), class_name="rows"),
            rx.el.p("No link is open.", class_name="meta"),
        ),
    )


def _link(one: rx.Var[Link]) -> rx.Component:
    return rx.el.div(
        ui.icon("link", 14),
        rx.el.span(
            rx.el.div("For ", rx.cond(one.role == "admin", "an admin", "a member"), " by ", one.by),
            rx.el.div(
                rx.cond(one.uses == 1, "one more person", one.uses.to(str) + " more people"),
                ", until ",
                one.ends,
                class_name="meta num",
            ),
            class_name="grow",
        ),
        ui.button("Revoke", on_click=TeamState.revoke(one.id)),
        class_name="row",
        key=one.id,
    )
