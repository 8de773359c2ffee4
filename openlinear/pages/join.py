"""What an invitation link leads to: what one would join, and the question whether to."""

from typing import Any

import reflex as rx

from openlinear.components import ui
from openlinear.components.acting import Personal
from openlinear.components.notice import NoticeState, notice
from openlinear.services import invitations
from openlinear.services.errors import NotFound, TooMany

ROUTE = "/join/[at_link]"


class JoinState(Personal, rx.State):
    """The link itself stays in the page's address."""

    team_id: str = ""
    team: str = ""
    role: str = ""
    by: str = ""
    ends: str = ""
    member: bool = False
    trouble: str = ""
    error: str = ""

    @rx.event
    async def load(self) -> None:
        owner = self._owner
        self.reset()
        self._owner = owner
        try:
            async with self._acting() as (session, actor):
                found = await invitations.look(session, actor, self._link())
        except (NotFound, TooMany) as error:
            self._refuse(error)
            return
        self.team_id, self.team, self.role, self.by = (
            str(found.team_id),
            found.team,
            found.role,
            found.invited_by,
        )
        self.ends, self.member = f"{found.expires_at.day} {found.expires_at:%B}", found.member

    @rx.event
    async def join(self) -> Any:
        try:
            async with self._acting() as (session, actor):
                team = await invitations.join(session, actor, self._link())
        except (NotFound, TooMany) as error:
            self._refuse(error)
            return None
        return rx.redirect(f"/teams/{team.id}", replace=True)

    def _refuse(self, error: NotFound | TooMany) -> None:
        self.trouble = "Not now" if isinstance(error, TooMany) else "This link leads nowhere"
        self.error = str(error)

    def _link(self) -> str:
        return self.router.url.path.rstrip("/").rpartition("/")[2]


def join_page() -> rx.Component:
    return rx.el.main(
        rx.el.p("OpenLinear", class_name="wordmark"),
        rx.cond(
            JoinState.error != "",
            rx.fragment(
                rx.el.h1(JoinState.trouble),
                rx.el.p(JoinState.error, role="alert"),
                ui.link("See your teams", href="/teams", class_name="btn", justify_self="start"),
            ),
            rx.cond(
                JoinState.team != "",
                _question(),
                rx.el.div(
                    rx.el.div(class_name="bone short"),
                    rx.el.div(class_name="bone"),
                    class_name="bones",
                    aria_busy=True,
                ),
            ),
        ),
        notice(NoticeState.close),
        class_name="plain",
    )


def _question() -> rx.Component:
    return rx.fragment(
        rx.el.h1("Join ", JoinState.team),
        rx.cond(
            JoinState.member,
            rx.fragment(
                rx.el.p("You are in this team already."),
                ui.link(
                    "Open the team",
                    href="/teams/" + JoinState.team_id,
                    class_name="btn primary",
                    justify_self="start",
                ),
            ),
            rx.fragment(
                rx.el.p(
                    rx.cond(JoinState.by != "", JoinState.by + " invites you", "You are invited"),
                    rx.cond(JoinState.role == "admin", " as an admin. ", " as a member. "),
                    "You will see its projects and tasks, and may execute them with your own keys. "
                    "The team sees your name and what you do in it.",
                ),
                rx.el.span(
                    ui.button("Join the team", class_name="btn primary", on_click=JoinState.join),
                    ui.link("Not now", href="/", class_name="btn"),
                    class_name="acts",
                    display="flex",
                    gap="6px",
                ),
                rx.el.p("The invitation ends on ", JoinState.ends, ".", class_name="meta"),
            ),
        ),
    )
