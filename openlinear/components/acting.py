"""In whose name a page's handler acts. The cookie is that of the connection; it is checked every time."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.cookies import CookieError, SimpleCookie
from uuid import UUID

import reflex as rx
from reflex.event import Event
from reflex.middleware import Middleware
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear import db
from openlinear.services import accounts
from openlinear.services.errors import NotFound, NotSignedIn
from openlinear.services.logins import COOKIE
from openlinear.services.views import Actor


def token_of(state: rx.State) -> str:
    """The session token that this connection came with. NotSignedIn without one."""
    cookies: SimpleCookie = SimpleCookie()
    try:
        cookies.load(state.router.headers.cookie or "")
    except CookieError:
        raise NotSignedIn("Sign in first.") from None
    if COOKIE not in cookies:
        raise NotSignedIn("Sign in first.")
    return cookies[COOKIE].value


class Personal(rx.State, mixin=True):  # type: ignore[call-arg]
    """A state that belongs to one person: it starts anew when another one acts through it.

    Its methods begin with an underscore, or Reflex would let browsers call them.
    """

    _owner: str = ""

    async def _actor(self, session: AsyncSession) -> Actor:
        """Who acts now. NotSignedIn when the login is over or was revoked."""
        actor = await accounts.authenticate(session, token_of(self))
        if actor.scope is not None:  # its scope is checked by the API alone
            raise NotSignedIn("Pages take a login, not an access token. Sign in.")
        if self._owner and self._owner != str(actor.id):
            self.reset()
        self._owner = str(actor.id)
        return actor

    @asynccontextmanager
    async def _acting(self) -> AsyncIterator[tuple[AsyncSession, Actor]]:
        """A transaction in this person's name. It holds no connection before it is used: what is called may
        need one of its own first.
        """
        async with db.transaction() as session:
            actor = await self._actor(session)
        async with db.transaction() as session:
            yield session, actor

    def _place(self) -> tuple[str, str]:
        """The project and the task (or empty) that the page's address names, which comes with every
        event: a state may have been forgotten since it was read.
        """
        return self._opened("t")

    def _opened(self, kind: str) -> tuple[str, str]:
        """The same of any panel: of a task (`t`) or a batch (`b`)."""
        parts = self.router.url.path.strip("/").split("/")
        if len(parts) < 2 or parts[0] != "p":
            return "", ""
        return parts[1], parts[3] if parts[2:3] == [kind] and parts[3:] else ""


class Tab(rx.State):
    """What a browser's tab holds, whichever states that is in, belongs to one login."""

    _login: str = ""
    """A digest of the token that it came with."""


class OneLogin(Middleware):
    """Empties a tab that comes back with another login, or none, before anything of it is sent.

    A tab's name outlives a connection: somebody else may have signed in to the same browser meanwhile, and
    Reflex sends a tab that connects all that it held.
    """

    async def preprocess(self, app: rx.App, state: rx.State, event: Event) -> None:
        try:
            token = token_of(state)
        except NotSignedIn:
            token = ""
        login = hashlib.sha256(token.encode(errors="replace")).hexdigest()
        tab = await state.get_state(Tab)
        if tab._login != login:
            if tab._login:
                state._get_root_state().reset()
            tab._login = login


def an_id(text: str) -> UUID:
    """An id that a browser named. NotFound where it is none."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("This does not exist, or you may not see it.") from None
