"""One short message at the foot of the page, with at most one thing to do about it."""

from urllib.parse import quote

import reflex as rx

from openlinear.components.ui import Leave, icon_button, link


class NoticeState(rx.State):
    """`undo` names a task that was taken off the board, while it can come back."""

    settings: bool = False
    """Whether the cure is on that page."""

    text: str = ""
    kind: str = ""
    undo: str = ""
    number: int = 0
    leave: str = ""
    """Where to go: this page is not for who is here now."""

    def _say(self, text: str, *, kind: str = "", undo: str = "") -> None:
        self.text, self.kind, self.undo = text, kind, undo
        self.settings = "Settings" in text
        self.number += 1

    @rx.event
    async def show(self, text: str, kind: str) -> None:
        self._say(text, kind=kind)

    @rx.event
    async def to_login(self) -> None:
        """The login is over: sign in, and come back here."""
        self.leave = f"/login?next={quote(self.router.url.path, safe='')}"

    @rx.event
    async def close(self) -> None:
        self.text = ""


def leaving() -> rx.Component:
    """Takes a page away from who is not signed in: part of every notice, and of pages without one."""
    return Leave.create(to=NoticeState.leave)


def notice(on_undo: rx.EventHandler) -> rx.Component:
    said = rx.cond(
        NoticeState.text != "",
        rx.el.div(
            rx.el.div(
                rx.el.span(NoticeState.text, class_name="words"),
                rx.cond(
                    NoticeState.undo != "",
                    rx.el.button("Undo", class_name="btn", on_click=on_undo(NoticeState.undo)),
                ),
                rx.cond(
                    NoticeState.settings,
                    link("Open settings", href="/settings", class_name="btn", on_click=NoticeState.close),
                ),
                icon_button("x", "Dismiss", on_click=NoticeState.close),
                class_name="toast " + NoticeState.kind,
                key=NoticeState.number,
                role="status",
            ),
            class_name="toasts",
        ),
    )
    return rx.fragment(leaving(), said)
