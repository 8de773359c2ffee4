"""GitHub in a person's name: their token, and the repositories it opens."""

import asyncio
from datetime import timedelta
from uuid import UUID

from sqlalchemy import select
from sqlmodel import col

from openlinear import db, vault
from openlinear.models import Identity
from openlinear.models.columns import now
from openlinear.outside import github
from openlinear.outside.github import GitHub, Repository, Revoked
from openlinear.outside.http import Away
from openlinear.outside.provider import Trouble
from openlinear.services import credentials, identities, paging
from openlinear.services.access import FRESH
from openlinear.services.errors import Conflict, Unavailable
from openlinear.services.views import Actor, Page
from openlinear.settings import get_settings

PAGES_READ = 5
"""How many pages of GitHub's one page of a search may cost."""
FURTHEST = 1_000_000
"""Nobody has as many repositories."""
SOON = timedelta(minutes=5)
LOOKS, PAUSE = 40, 0.25
"""How often, and after how many seconds, it is looked whether a token that somebody else renews is there."""
PORTS = {"https": 443, "http": 80}
AGAIN = "GitHub does not accept your sign-in any more: it ended or was revoked. Sign in with GitHub again."
CONNECT = "Connect GitHub on your account page first."
AWAY = "GitHub cannot be reached now, or asks to wait. Try again in a moment."


class NoToken(Exception):
    """The user's GitHub token cannot be used; its text says why, and the cure."""


def ours(clone_url: str) -> bool:
    """Whether it is on the exact host of GITHUB_URL, by https unless local remotes are allowed."""
    settings = get_settings()
    here, there = _origin(clone_url), _origin(settings.github_url)
    return here == there and (here[0] == "https" or settings.allow_local_remotes)


def _origin(url: str) -> tuple[str, str, int | None]:
    scheme, host, port = credentials.origin(url)
    return scheme, host, port or PORTS.get(scheme)


async def token_of(user_id: UUID) -> str | None:
    """This user's token for the GitHub this server is set up for, renewed when it is about to end.

    None where they connected none. NoToken, with the cure, where it ended and cannot be renewed. Unscoped:
    for whoever acts in this user's name.
    """
    mine = (col(Identity.user_id) == user_id) & (col(Identity.provider) == "github")
    query = select(Identity).where(mine, col(Identity.issuer) == GitHub(get_settings()).issuer)
    for _ in range(LOOKS):
        async with db.transaction() as session:
            known = await session.scalar(query)
            if known is None or known.token_secret is None:
                return None
            if not _ends(known):
                return _tokens(known)[0]
            # Held while it is renewed, since a refresh token counts once; who finds it held holds nothing.
            free = query.with_for_update(skip_locked=True).execution_options(**FRESH)
            if (held := await session.scalar(free)) is not None:
                return await _renewed(held)
        await asyncio.sleep(PAUSE)
    raise NoToken(AWAY)


async def _renewed(known: Identity) -> str:
    """The token of a row that is held, renewed unless somebody has just done so."""
    access, refresh = _tokens(known)
    if not _ends(known):
        return access
    if refresh is None:
        raise NoToken(AGAIN)
    try:
        grant = await GitHub(get_settings()).refresh(refresh)
    except Trouble as trouble:
        raise NoToken(AWAY if trouble.code == "away" else AGAIN) from None
    identities.keep_token(known, grant)
    return grant.access_token


def _ends(known: Identity) -> bool:
    return known.token_expires_at is not None and known.token_expires_at <= now() + SOON


def _tokens(known: Identity) -> tuple[str, str | None]:
    """The access token and the refresh token. NoToken under another key."""
    try:
        return identities.token_in(known)
    except vault.Unreadable:
        raise NoToken(
            "Your GitHub sign-in can no longer be read, since OPENLINEAR_SECRET_KEY is another one now. "
            "Sign in with GitHub again."
        ) from None


async def connected(actor: Actor) -> bool:
    async with db.transaction() as session:
        mine = (col(Identity.user_id) == actor.id) & (col(Identity.provider) == "github")
        return await session.scalar(select(col(Identity.id)).where(mine)) is not None


async def repositories(
    actor: Actor, *, q: str = "", limit: int = paging.LIMIT, cursor: str | None = None
) -> Page[Repository]:
    """The actor's repositories, what was pushed to last first, of which the full name holds `q`.

    Takes no session: GitHub may be slow. A page may hold fewer than `limit` and still have a next one.
    Conflict where GitHub is not connected or has ended the sign-in; Unavailable where it is away.
    """
    wanted, at = paging.limited(limit), 0 if cursor is None else paging.number(cursor, FURTHEST)
    try:
        token = await token_of(actor.id)
        if token is None:
            raise Conflict(CONNECT)
        return await _search(token, q.strip().lower(), wanted, at)
    except Revoked:
        raise Conflict(AGAIN) from None
    except NoToken as error:
        raise Conflict(str(error)) from None
    except Away:
        raise Unavailable(AWAY) from None


async def _search(token: str, q: str, limit: int, at: int) -> Page[Repository]:
    """From position `at` of GitHub's list on; its own list knows no search."""
    api, found = get_settings().github_api_url.rstrip("/"), []
    for _ in range(PAGES_READ):
        number, offset = divmod(at, github.PAGE)
        page = await github.repositories(api, token, number + 1)
        for one in page[offset:]:
            at += 1
            if q in one.full_name.lower():
                found.append(one)
            if len(found) == limit:
                return Page(tuple(found), paging.encode([str(at)]))
        if len(page) < github.PAGE:
            return Page(tuple(found), None)
    return Page(tuple(found), paging.encode([str(at)]))
