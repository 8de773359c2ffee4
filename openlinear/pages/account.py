"""One's own account: what its page shows, and what is done there."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import reflex as rx

from openlinear.components.acting import Personal, an_id
from openlinear.services import logins, tokens
from openlinear.services.errors import NotFound

SHOWN = 50


@dataclass(frozen=True)
class Login:
    id: str
    device: str
    address: str
    used: int
    """When, in milliseconds."""
    current: bool


@dataclass(frozen=True)
class Token:
    id: str
    name: str
    may: str
    used: int
    """0 for never."""
    ends: str


class AccountState(Personal, rx.State):
    """Passwords and tokens themselves never come here: forms of the browser's own hand them to the API."""

    name: str = ""
    email: str = ""
    admin: bool = False
    logins: list[Login] = []
    more: int = 0
    """How many logins are not shown: a program may begin many."""
    tokens: list[Token] = []

    @rx.event
    async def load(self) -> None:
        await self._read()

    async def _read(self) -> None:
        async with self._acting() as (session, actor):
            self.name, self.email, self.admin = actor.name, actor.email, actor.admin
            found = await logins.list_logins(session, actor)
            self.logins, self.more = [_login(one) for one in found[:SHOWN]], len(found[SHOWN:])
            self.tokens = [_token(one) for one in await tokens.list_tokens(session, actor)]

    @rx.event
    async def end(self, login_id: str) -> None:
        with suppress(NotFound):  # it ended meanwhile
            async with self._acting() as (session, actor):
                await logins.end_login(session, actor, an_id(login_id))
        await self._read()

    @rx.event
    async def end_others(self) -> None:
        async with self._acting() as (session, actor):
            await logins.end_others(session, actor)
        await self._read()

    @rx.event
    async def revoke(self, token_id: str) -> None:
        with suppress(NotFound):  # as above
            async with self._acting() as (session, actor):
                await tokens.revoke(session, actor, an_id(token_id))
        await self._read()


def _login(one: logins.LoginView) -> Login:
    device = one.device or "Unknown device"
    return Login(str(one.id), device, one.address, milliseconds(one.used_at), one.current)


def _token(one: tokens.TokenView) -> Token:
    ends = f"{one.expires_at.day} {one.expires_at:%B %Y}"
    may = "may read and write" if one.scope == "write" else "may read"
    return Token(str(one.id), one.name, may, milliseconds(one.used_at), ends)


def milliseconds(time: datetime | None) -> int:
    """As the browser counts them; 0 for never."""
    return int(time.timestamp() * 1000) if time else 0
