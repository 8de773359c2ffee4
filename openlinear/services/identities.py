"""Accounts elsewhere that people sign in with: entering by them, connecting and disconnecting them.

Whoever signs in elsewhere is recognised by issuer and subject alone. An email proves nothing here: an
account is connected by who is logged in to it, never by somebody who has its address at a provider.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear import db, vault
from openlinear.models import Identity, User
from openlinear.models.columns import now
from openlinear.outside import providers
from openlinear.outside.provider import Grant, Profile, Provider, Trouble
from openlinear.services import (
    account_log,
    accounts,
    audit,
    credentials,
    logins,
    registration,
    text,
    throttle,
)
from openlinear.services.access import FRESH, require_login
from openlinear.services.errors import Conflict, Forbidden, NotFound
from openlinear.services.views import Actor
from openlinear.settings import get_settings

NAME_LIMIT = 100
EMAIL_LIMIT = 254
LAST_WAY = (
    "This is the only way into your account. Choose a password first, by the link for a forgotten one, "
    "or connect another account."
)


@dataclass(frozen=True, slots=True)
class WayView:
    """A way to sign in that this server offers; without a login it is not connected."""

    provider: str
    name: str
    login: str | None = None
    scopes: tuple[str, ...] = ()
    connected_at: datetime | None = None
    used_at: datetime | None = None


async def admit(provider: Provider, profile: Profile, *, address: str) -> None:
    """Count an account that this sign-in is about to make, if it is. Trouble as of `enter`; TooMany.

    Takes no session: whoever counts holds no other connection.
    """
    async with db.transaction() as session:
        if await _found(session, provider.issuer, profile.subject) is not None:
            return
        await _free_email(session, provider, profile)
    await throttle.admit("register from", address, get_settings().registrations_per_address)


async def enter(
    session: AsyncSession,
    provider: Provider,
    profile: Profile,
    grant: Grant,
    *,
    invitation: str | None,
    address: str,
    device: str,
) -> str:
    """Log in whoever signed in there, with a new account when they have none: the session token.

    Whoever calls has called `admit` before. Trouble where they have no verified email, where that email is
    an account's already, where an account needs another invitation, or where theirs is disabled.
    """
    known = await _found(session, provider.issuer, profile.subject)
    if known is not None:
        # The user first, as everywhere: a reset or their own page may forget this way at this moment.
        await _hold(session, known.user_id)
        user = await session.get_one(User, known.user_id)
        known = await _found(session, provider.issuer, profile.subject)
        if known is None or known.user_id != user.id:
            raise Trouble("expired")
    else:
        user = await _register(session, provider, profile, invitation, address)
        known = await _add(session, user.id, provider, profile)
    _remember(known, profile, provider, grant)
    await _tell_github_id(session, user.id, known)
    try:
        return await accounts.begin(session, user, device=device, address=address)
    except Forbidden:
        raise Trouble("disabled") from None


async def connect(
    session: AsyncSession, actor: Actor, provider: Provider, profile: Profile, grant: Grant
) -> None:
    """Make it a way into the actor's account; again, to renew its token."""
    require_login(actor)
    await _hold(session, actor.id)
    await logins.still(session, actor)
    known = await _found(session, provider.issuer, profile.subject)
    if known is not None and known.user_id != actor.id:
        raise Trouble("taken")
    if known is None:
        if await _of(session, actor.id, provider.id) is not None:
            raise Trouble("other")
        known = await _add(session, actor.id, provider, profile)
        audit.record(
            session, actor, "identity:connected", profile.login, team_id=None, provider=provider.name
        )
    _remember(known, profile, provider, grant)
    await _tell_github_id(session, actor.id, known)


async def disconnect(session: AsyncSession, actor: Actor, provider_id: str) -> None:
    """Forget it and its token. Conflict where it is the last way into the account."""
    require_login(actor)
    await _hold(session, actor.id)
    await logins.still(session, actor)
    mine = await _of(session, actor.id, provider_id)
    if mine is None:
        raise NotFound("No such account is connected.")
    user = await session.get_one(User, actor.id, populate_existing=True)
    others = select(func.count()).select_from(Identity).where(col(Identity.user_id) == actor.id)
    if user.password_hash is None and (await session.scalar(others) or 0) < 2:
        raise Conflict(LAST_WAY)
    name = next((one.name for one in providers.configured() if one.id == provider_id), provider_id)
    audit.record(session, actor, "identity:disconnected", mine.login, team_id=None, provider=name)
    if mine.provider == "github":
        user.github_id = None
    await session.delete(mine)


async def list_ways(session: AsyncSession, actor: Actor) -> Sequence[WayView]:
    """Every way that is offered or connected, the actor's own part of it told."""
    rows = await session.scalars(select(Identity).where(col(Identity.user_id) == actor.id))
    mine = {one.provider: one for one in rows}
    names: dict[str, str] = {one.id: one.name for one in providers.configured()}
    return [_view(names.get(key, key), key, mine.get(key)) for key in dict.fromkeys([*names, *mine])]


def _view(name: str, provider: str, mine: Identity | None) -> WayView:
    if mine is None:
        return WayView(provider, name)
    return WayView(provider, name, mine.login, tuple(mine.scopes), mine.created_at, mine.used_at)


async def _register(
    session: AsyncSession, provider: Provider, profile: Profile, invitation: str | None, address: str
) -> User:
    email = await _free_email(session, provider, profile)
    try:
        await registration.admit(session, invitation)
    except Forbidden:
        raise Trouble("closed") from None
    name = text.line(profile.name[:NAME_LIMIT], "name", limit=NAME_LIMIT)
    try:
        user = await accounts.insert(session, name, email, None)
    except Conflict:  # somebody registered it meanwhile
        raise Trouble("exists") from None
    user.avatar_url = profile.avatar_url
    account_log.note("account made", user.id, address=address)
    return user


async def _free_email(session: AsyncSession, provider: Provider, profile: Profile) -> str:
    """What a new account's email would be. Trouble where it is not verified, or is another account's."""
    if profile.email is None:
        why = profile.no_email or "no verified email came with it"
        account_log.log.warning("A new account by %s was refused: %s", provider.name, why)
        raise Trouble("email")
    email = text.line(profile.email, "email", limit=EMAIL_LIMIT)
    if await session.scalar(select(User).where(func.lower(col(User.email)) == func.lower(email))):
        raise Trouble("exists")
    return email


async def _add(session: AsyncSession, user_id: UUID, provider: Provider, profile: Profile) -> Identity:
    made = Identity(
        user_id=user_id,
        provider=provider.id,
        issuer=provider.issuer,
        subject=profile.subject,
        login=profile.login,
    )
    try:
        async with session.begin_nested():
            session.add(made)
    except IntegrityError:  # the same sign-in twice at once, or another one's
        raise Trouble("taken") from None
    return made


def _remember(known: Identity, profile: Profile, provider: Provider, grant: Grant) -> None:
    known.login, known.used_at = profile.login[:NAME_LIMIT], now()
    if provider.keeps_token:
        keep_token(known, grant)


def keep_token(known: Identity, grant: Grant) -> None:
    """Seal what came: it replaces what was there."""
    sealed = json.dumps([grant.access_token, grant.refresh_token])
    known.token_secret = vault.seal(credentials.IDENTITY, sealed)
    known.token_expires_at, known.scopes = grant.expires_at, list(grant.scopes)


def token_in(known: Identity) -> tuple[str, str | None]:
    """The access token and the refresh token. vault.Unreadable under another key."""
    access, refresh = json.loads(vault.unseal(credentials.IDENTITY, known.token_secret or ""))
    return access, refresh


async def _tell_github_id(session: AsyncSession, user_id: UUID, known: Identity) -> None:
    """Keep `users.github_id` true: the number at the GitHub that this server is set up for now."""
    if known.provider != "github" or not known.subject.isdecimal():
        return
    number = int(known.subject)
    former = (col(User.github_id) == number) & (col(User.id) != user_id)
    await session.execute(update(User).where(former).values(github_id=None))
    await session.execute(update(User).where(col(User.id) == user_id).values(github_id=number))


async def _hold(session: AsyncSession, user_id: UUID) -> None:
    """Ways into one account change one after the other."""
    await session.execute(select(col(User.id)).where(col(User.id) == user_id).with_for_update())


async def _found(session: AsyncSession, issuer: str, subject: str) -> Identity | None:
    query = select(Identity).where(col(Identity.issuer) == issuer, col(Identity.subject) == subject)
    found: Identity | None = await session.scalar(query.execution_options(**FRESH))
    return found


async def _of(session: AsyncSession, user_id: UUID, provider_id: str) -> Identity | None:
    """This user's identity at a provider, its row held."""
    query = select(Identity).where(col(Identity.user_id) == user_id, col(Identity.provider) == provider_id)
    found: Identity | None = await session.scalar(query.with_for_update().execution_options(**FRESH))
    return found
