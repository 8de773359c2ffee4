"""What the agent waits for, and how a person answers it."""

import reflex as rx

from openlinear.components import ui
from openlinear.pages.task import Ask, PanelState


def ask_card(ask: rx.Var[Ask]) -> rx.Component:
    return rx.el.section(
        rx.cond(
            ask.kind == "permission",
            rx.fragment(
                rx.el.h3("The agent asks for permission"),
                rx.el.p(ask.text),
                _permission(ask.id),
            ),
            rx.fragment(
                rx.el.h3("The agent asks"),
                ui.Questions.create(
                    questions=ask.questions,
                    on_answer=lambda answers: PanelState.answer(PanelState.task_id, ask.id, answers),
                ),
            ),
        ),
        class_name="ask",
        key=ask.id,
    )


def _permission(ask_id: rx.Var[str]) -> rx.Component:
    return rx.el.form(
        *[
            ui.button(
                title,
                on_click=PanelState.reply(PanelState.task_id, ask_id, reply),
            )
            for reply, title in (("once", "Allow once"), ("always", "Always allow"))
        ],
        # A form's handler is compiled outside the loop, where there is no `ask`: the form says which it is.
        rx.el.input(name="ask", type="hidden", value=ask_id),
        rx.el.input(name="message", class_name="input", placeholder="Or say what to do instead"),
        rx.el.button("Deny", class_name="btn danger", type="submit"),
        on_submit=lambda data: PanelState.deny(PanelState.task_id, data),
        class_name="acts",
    )
