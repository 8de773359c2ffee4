"""All accounts of this server, for its administrators."""

from dataclasses import dataclass

import reflex as rx

from openlinear.components import shell, ui
from openlinear.components.acting import Personal, an_id
from openlinear.components.notice import NoticeState, notice
from openlinear.live import LiveState
from openlinear.pages.account import milliseconds
from openlinear.services import administration
from openlinear.services.errors import Forbidden

PAGE = 100


@dataclass(frozen=True)
class Account:
    id: str
    name: str
    email: str
    admin: bool
    disabled: bool
    own: bool
    made: str
    seen: int
    """When, in milliseconds; 0 for never."""


@dataclass(frozen=True)
class Link:
    id: str
    by: str
    ends: str


class AdministrationState(Personal, rx.State):
    accounts: list[Account] = []
    links: list[Link] = []
    more: str = ""
    """Where the list goes on; empty at its end."""
    refused: str = ""

    @rx.event
    async def load(self) -> None:
        owner = self._owner
        self.reset()
        self._owner = owner
        await self._read()

    async def _read(self) -> None:
        """The first page of the list, anew."""
        try:
            async with self._acting() as (session, actor):
                page = await administration.list_accounts(session, actor, limit=PAGE)
                found = await administration.list_invitations(session, actor)
        except Forbidden as error:
            self.refused = str(error)
            return
        self.accounts = [_account(one, self._owner) for one in page.items]
        self.more = page.next_cursor or ""
        self.links = [
            Link(str(one.id), one.created_by, f"{one.expires_at.day} {one.expires_at:%B}") for one in found
        ]

    @rx.event
    async def show_more(self) -> None:
        if not self.more:  # a second click that was on its way
            return
        async with self._acting() as (session, actor):
            page = await administration.list_accounts(session, actor, limit=PAGE, cursor=self.more)
        self.accounts = [*self.accounts, *(_account(one, self._owner) for one in page.items)]
        self.more = page.next_cursor or ""

    @rx.event
    async def set_admin(self, user_id: str, admin: bool) -> None:
        await self._change(user_id, admin=admin)

    @rx.event
    async def set_disabled(self, user_id: str, disabled: bool) -> None:
        await self._change(user_id, disabled=disabled)

    async def _change(self, user_id: str, *, admin: bool | None = None, disabled: bool | None = None) -> None:
        async with self._acting() as (_, actor):
            pass
        view = await administration.change_account(actor, an_id(user_id), admin=admin, disabled=disabled)
        changed = _account(view, self._owner)
        self.accounts = [changed if one.id == changed.id else one for one in self.accounts]

    @rx.event
    async def revoke(self, link_id: str) -> None:
        async with self._acting() as (session, actor):
            await administration.revoke_invitation(session, actor, an_id(link_id))
        await self._read()


def _account(one: administration.AccountView, own: str) -> Account:
    made = f"{one.created_at.day} {one.created_at:%B %Y}"
    return Account(
        str(one.id),
        one.name,
        one.email,
        one.admin,
        one.disabled,
        str(one.id) == own,
        made,
        milliseconds(one.seen_at),
    )


def administration_page() -> rx.Component:
    return shell.shell(
        rx.el.header(shell.unfold_button(), rx.el.h1("Administration"), class_name="topbar"),
        shell.banners(LiveState.get_full_name(), AdministrationState.load),
        rx.el.main(
            rx.cond(
                AdministrationState.refused != "",
                rx.el.p(AdministrationState.refused, role="alert"),
                rx.fragment(_accounts(), _invitations()),
            ),
            class_name="content",
        ),
        notice(NoticeState.close),
        current="account",
    )


def _accounts() -> rx.Component:
    return rx.el.section(
        rx.el.h2("Accounts"),
        rx.el.div(rx.foreach(AdministrationState.accounts, _row), class_name="rows"),
        rx.cond(
            AdministrationState.more != "",
            ui.button(
                "Show more",
                justify_self="start",
                on_click=AdministrationState.show_more,
            ),
        ),
        rx.el.p(
            "Who is disabled is signed out at once, and their runs end. Administrators see no more of "
            "others' projects than anybody.",
            class_name="meta",
        ),
    )


def _row(one: rx.Var[Account]) -> rx.Component:
    return rx.el.div(
        rx.el.div(
            rx.el.div(
                one.name,
                rx.cond(one.own, " · you", ""),
                rx.cond(one.admin, " · administrator", ""),
                rx.cond(one.disabled, " · disabled", ""),
                class_name="name",
                title=one.name,
            ),
            rx.el.div(
                one.email,
                " · since ",
                one.made,
                rx.cond(one.seen == 0, "", rx.fragment(" · seen ", ui.Ago.create(at=one.seen))),
                class_name="meta num",
            ),
            class_name="grow",
        ),
        rx.el.span(
            ui.button(
                rx.cond(one.admin, "Remove as administrator", "Make administrator"),
                on_click=AdministrationState.set_admin(one.id, ~one.admin),
            ),
            ui.button(
                rx.cond(one.disabled, "Enable", "Disable"),
                custom_attrs={"aria-label": rx.cond(one.disabled, "Enable ", "Disable ") + one.name},
                on_click=AdministrationState.set_disabled(one.id, ~one.disabled),
            ),
            class_name="acts",
        ),
        class_name="row wraps",
        key=one.id,
    )


def _invitations() -> rx.Component:
    return rx.el.section(
        rx.el.h2("Invite somebody"),
        ui.Ask.create(
            action="/api/admin/invitations",
            verb="Make a link",
            reveal="url",
            done="It lets one person make an account, within 7 days. It is shown this once.",
            on_done=AdministrationState.load,
        ),
        rx.cond(
            AdministrationState.links,
            rx.el.div(rx.foreach(AdministrationState.links, _link), class_name="rows"),
        ),
    )


def _link(one: rx.Var[Link]) -> rx.Component:
    return rx.el.div(
        ui.icon("link", 14),
        rx.el.span(
            rx.el.div("For one account", rx.cond(one.by == "", ", by the command line", ", by " + one.by)),
            rx.el.div("until ", one.ends, class_name="meta num"),
            class_name="grow",
        ),
        ui.button("Revoke", on_click=AdministrationState.revoke(one.id)),
        class_name="row",
        key=one.id,
    )
