"""The inbox: what ended or waits for its person, the latest first."""

from dataclasses import dataclass

import reflex as rx

from openlinear.components import shell, ui
from openlinear.components.acting import Personal, an_id
from openlinear.components.cards import milliseconds
from openlinear.components.notice import NoticeState, notice
from openlinear.live import LiveState
from openlinear.services import inbox, paging
from openlinear.services.inbox import InboxView

WORDS = {"done": "Done", "completed": "Done", "failed": "Failed", "waiting": "Waits for you"}
TONES = {"completed": "done"}


@dataclass(frozen=True)
class Item:
    id: str
    href: str
    identifier: str
    title: str
    where: str
    word: str
    tone: str
    message: str
    at: int
    fresh: bool


class InboxState(Personal, rx.State):
    items: list[Item] = []
    more: bool = False
    ready: bool = False
    unread: bool = False
    """Whether anything is, on this page or after it."""
    _count: int = paging.LIMIT
    """How many are shown."""

    @rx.event
    async def load(self) -> None:
        await self._read()

    @rx.event
    async def show_more(self) -> None:
        self._count = min(self._count + paging.LIMIT, paging.MOST)
        await self._read()

    @rx.event
    async def opened(self, item_id: str) -> None:
        """Looked at, so it is read."""
        async with self._acting() as (session, actor):
            await inbox.set_read(session, actor, an_id(item_id), True)
        await self._read()

    @rx.event
    async def read_all(self) -> None:
        async with self._acting() as (session, actor):
            await inbox.read_all(session, actor)
        await self._read()

    async def _read(self) -> None:
        async with self._acting() as (session, actor):
            page = await inbox.items(session, actor, limit=self._count)
            self.unread = await inbox.unread(session, actor) > 0
        self.items = [_item(one) for one in page.items]
        self.more = page.next_cursor is not None and self._count < paging.MOST
        self.ready = True


def _item(one: InboxView) -> Item:
    opens = f"t/{one.task_id}" if one.task_id else f"b/{one.batch_id}"
    return Item(
        id=str(one.id),
        href=f"/p/{one.project_id}/{opens}",
        identifier=one.identifier or "",
        title=one.title,
        where=one.project,
        word=WORDS[one.status],
        tone=TONES.get(one.status, one.status),
        message=one.message,
        at=milliseconds(one.at),
        fresh=not one.read,
    )


def inbox_page() -> rx.Component:
    return shell.shell(
        rx.el.header(
            shell.unfold_button(),
            rx.el.h1("Inbox"),
            rx.cond(
                InboxState.unread,
                ui.button("Mark all read", on_click=InboxState.read_all, margin_left="auto"),
            ),
            class_name="topbar",
        ),
        shell.banners(LiveState.get_full_name(), InboxState.load),
        ui.InboxNews.create(live_name=LiveState.get_full_name(), on_news=InboxState.load),
        rx.el.main(_list(), class_name="content"),
        notice(NoticeState.close),
        current="inbox",
    )


def _list() -> rx.Component:
    return rx.el.section(
        rx.cond(
            InboxState.items,
            rx.el.div(rx.foreach(InboxState.items, _row), class_name="rows"),
            rx.cond(
                InboxState.ready,
                rx.el.p(
                    "Nothing here. What you execute is told here when it ends or waits for you.",
                    class_name="meta",
                ),
            ),
        ),
        rx.cond(
            InboxState.more,
            ui.button(
                "Show more",
                on_click=InboxState.show_more,
                justify_self="start",
            ),
        ),
    )


def _row(item: rx.Var[Item]) -> rx.Component:
    return ui.link(
        rx.el.i(class_name=rx.cond(item.fresh, "dot dot-iris", "dot")),
        rx.el.span(
            rx.el.div(item.title, class_name="name", title=item.title),
            rx.el.div(
                rx.el.span(item.word, class_name="state " + item.tone),
                " ",
                rx.el.span(item.message, class_name="said", title=item.message),
                class_name="meta",
            ),
            class_name="grow",
        ),
        rx.el.span(rx.cond(item.identifier != "", item.identifier, item.where), class_name="meta mono"),
        ui.Ago.create(at=item.at),
        href=item.href,
        on_click=InboxState.opened(item.id),
        class_name=rx.cond(item.fresh, "row item fresh", "row item"),
        custom_attrs={"data-card": item.id, "aria-label": rx.cond(item.fresh, "Unread: ", "") + item.title},
        key=item.id,
    )
