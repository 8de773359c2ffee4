"""Who asks: by Bearer token, or by the session cookie of this very origin."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request, Response, Security
from fastapi.security import APIKeyCookie, HTTPBearer
from sqlmodel.ext.asyncio.session import AsyncSession

from engine import logs
from openlinear import db
from openlinear.services import accounts, devices
from openlinear.services.errors import Forbidden, NotSignedIn
from openlinear.services.logins import COOKIE
from openlinear.services.views import Actor
from openlinear.settings import get_settings

SAFE = ("GET", "HEAD", "OPTIONS")


async def _session(request: Request) -> AsyncIterator[AsyncSession]:
    # A task and its run are two rows: an answer that only reads shows both as of one moment.
    begin = db.snapshot if request.method in SAFE else db.transaction
    async with begin() as session:
        yield session


Session = Annotated[AsyncSession, Depends(_session, scope="function")]
"""A transaction that is committed before the answer leaves."""


def token_of(request: Request) -> str:
    """The request's token. A header counts before the cookie, which no other origin may use."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and given.strip():
        return given.strip()
    cookie = request.cookies.get(COOKIE)
    if cookie is None:
        raise NotSignedIn("Sign in first: no token came with the request.")
    if not same_origin(request):
        raise Forbidden("The session cookie counts on this site's own pages only. Send a Bearer token.")
    return cookie


BEARER = Security(HTTPBearer(auto_error=False, scheme_name="bearer", bearerFormat="JWT"))
SESSION = Security(APIKeyCookie(name=COOKIE, auto_error=False, scheme_name="session"))
"""The two ways to sign in, for the OpenAPI document; which one counts, `token_of` says."""


async def _actor(
    request: Request, _: Annotated[object, BEARER] = None, __: Annotated[object, SESSION] = None
) -> Actor:
    """In a transaction of its own, so that what follows may take its time without holding one."""
    token = token_of(request)
    async with db.transaction() as session:
        actor = await accounts.authenticate(session, token)
    logs.user_id.set(str(actor.id))
    if actor.scope == "read" and request.method not in SAFE:
        raise Forbidden("This access token may only read. Make one that may write on the Account page.")
    return actor


Me = Annotated[Actor, Depends(_actor)]


def same_origin(request: Request) -> bool:
    """Whether the browser says that our own page asks.

    A reading request without Origin is a navigation or our page's, whose answer no other page can
    read. A client that sends neither header is no browser, so that nobody can ride on its cookie.
    """
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site")
    if origin is not None:
        return origin in get_settings().origins
    return request.method in SAFE or site in (None, "same-origin", "none")


def refuse_other_origins(request: Request) -> None:
    """Logging in is for our own pages and for programs; `CORS_ORIGIN` may, but gets no cookie."""
    if not same_origin(request) and request.headers.get("origin") != get_settings().cors_origin:
        raise Forbidden("Log in on this site's own page.")


Entry = Annotated[None, Depends(refuse_other_origins)]
"""For routes that log somebody in, or lead to that."""


def set_cookie(request: Request, response: Response, token: str) -> None:
    if same_origin(request):
        response.set_cookie(
            COOKIE,
            token,
            max_age=accounts.TOKEN_DAYS * 24 * 3600,
            path="/",
            secure=get_settings().behind_tls,
            httponly=True,
            samesite="lax",
        )


def clear_cookie(response: Response) -> None:
    secure = get_settings().behind_tls
    response.delete_cookie(COOKIE, path="/", secure=secure, httponly=True, samesite="lax")


def address_of(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def device_of(request: Request) -> str:
    return devices.named(request.headers.get("user-agent", ""))
