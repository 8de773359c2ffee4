"""Accounts and logins. An `Actor` is made here, from a checked token, and nowhere else."""

import re
import unicodedata
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import jwt
from email_validator import EmailNotValidError, validate_email
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.exc import IntegrityError
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear import db, passwords
from openlinear.models import AccessToken, AuthSession, User
from openlinear.models.columns import now
from openlinear.services import account_log, links, logins, registration, text, throttle, tokens
from openlinear.services.errors import Conflict, Forbidden, Invalid, NotSignedIn
from openlinear.services.views import Actor, UserView
from openlinear.settings import get_settings

TOKEN_DAYS = 7
ALGORITHM = "HS256"
USERNAME_LENGTH = 30
OVER = "This access token is wrong, over or revoked. Make another on the Account page."
WRONG = "That email and password do not match an account."


async def register(
    session: AsyncSession,
    name: str,
    email: str,
    password: str,
    *,
    address: str,
    device: str = "",
    invitation: str | None = None,
) -> tuple[str, UserView]:
    """A new account and its first login: the token and the user.

    Conflict when the email is taken, Forbidden where it takes another invitation.
    """
    await throttle.admit("register from", address, get_settings().registrations_per_address)
    name = text.line(name, "name", limit=100)
    email = _email(email)
    acceptable(password)
    digest = await passwords.hash_password(password)
    await registration.admit(session, invitation)
    user = await insert(session, name, email, digest)
    account_log.note("account made", user.id, address=address)
    return await begin(session, user, device=device, address=address), _view(user)


async def login(
    session: AsyncSession, email: str, password: str, *, address: str, device: str = ""
) -> tuple[str, UserView]:
    """A login. NotSignedIn, in the same words and time, whether the email or the password is wrong."""
    settings = get_settings()
    account = email.strip().lower()
    await throttle.admit("login from", address, settings.login_tries_per_address)
    await throttle.admit("login as", account, settings.login_tries_per_account)
    async with db.transaction() as reading:  # no connection is held while the password is compared
        found = await find(reading, account)
    digest = found.password_hash if found else None
    if not await passwords.matches(password, digest) or found is None:
        raise NotSignedIn(WRONG)
    await throttle.forget(session, "login as", account)
    user = await session.get_one(User, found.id)
    token = await begin(session, user, device=device, address=address)
    if user.password_hash != digest:  # changed while it was compared
        raise NotSignedIn(WRONG)
    return token, _view(user)


async def find(session: AsyncSession, email: str) -> User | None:
    """Whose email it is, however it is spelt. Unscoped."""
    account = email.strip()
    if not text.storable(account):
        return None
    same = func.lower(col(User.email)) == func.lower(account)
    found: User | None = await session.scalar(select(User).where(same))
    return found


async def authenticate(session: AsyncSession, token: str) -> Actor:
    """Whose token this is, a login's or an access token. NotSignedIn when it is forged, over, or revoked."""
    kind: logins.Kind = AccessToken if token.startswith(tokens.PREFIX) else AuthSession
    match = col(AccessToken.token_hash) == links.digest(token) if kind is AccessToken else _claimed(token)
    row = (
        await session.execute(
            select(User, kind)
            .join(kind, col(kind.user_id) == col(User.id))
            .where(match, logins.is_open(kind, col(User.id)), col(User.disabled_at).is_(None))
        )
    ).one_or_none()
    if row is None:
        raise NotSignedIn(OVER if kind is AccessToken else logins.ENDED)
    user, found = row
    if found.used_at is None or found.used_at < now() - logins.COARSE:
        logins.touch(kind, found.id, user.id)
    scope = found.scope if isinstance(found, AccessToken) else None
    return Actor(user.id, user.name, user.username, user.email, found.id, scope, user.admin)


def _claimed(token: str) -> ColumnElement[bool]:
    """The condition on `AuthSession` for what a login's token says. NotSignedIn when it is forged or over."""
    try:
        claims = jwt.decode(
            token,
            get_settings().jwt_secret.get_secret_value(),
            algorithms=[ALGORITHM],
            options={"require": ["userId", "jti", "iat", "exp"]},
        )
        login_id, user_id = UUID(str(claims["jti"])), UUID(str(claims["userId"]))
    except (jwt.InvalidTokenError, ValueError):
        raise NotSignedIn("Sign in first: the token is missing, wrong or over.") from None
    return (col(AuthSession.id) == login_id) & (col(AuthSession.user_id) == user_id)


async def logout(session: AsyncSession, actor: Actor) -> None:
    """End this login, or this access token, everywhere and at once."""
    kind: logins.Kind = AuthSession if actor.scope is None else AccessToken
    await logins.end(session, kind, actor.id, col(kind.id) == actor.session_id)


async def over(session: AsyncSession, login_ids: Collection[UUID]) -> set[UUID]:
    """Which of these logins have ended or run out. Unscoped: for whoever holds connections open."""
    good = await session.scalars(
        select(col(AuthSession.id)).where(
            col(AuthSession.id).in_(login_ids),
            col(AuthSession.revoked_at).is_(None),
            col(AuthSession.expires_at) > now(),
        )
    )
    return set(login_ids) - set(good)


async def me(session: AsyncSession, actor: Actor) -> UserView:
    return _view(await session.get_one(User, actor.id))


def _view(user: User) -> UserView:
    return UserView(user.id, user.name, user.username, user.email, user.avatar_url, user.github_id)


async def begin(session: AsyncSession, user: User, *, device: str = "", address: str = "") -> str:
    """A new login of this user, who has been recognised, as a token. Forbidden for a disabled account.

    The user's row is held until the commit, and read anew: whoever changes the password or disables the
    account at this moment ends this login too, or has been first.
    """
    await session.refresh(user, with_for_update={"key_share": True})
    if user.disabled_at is not None:
        raise Forbidden("This account is disabled. Ask an administrator of this server.")
    await logins.make_room(session, user.id)
    issued = datetime.now(UTC).replace(microsecond=0)
    expires = issued + timedelta(days=TOKEN_DAYS)
    begun = AuthSession(
        id=uuid4(),
        user_id=user.id,
        device=device,
        address=address,
        created_at=issued,
        used_at=issued,
        expires_at=expires,
    )
    session.add(begun)
    user.seen_at = issued
    account_log.note("login begun", user.id, id=begun.id, address=address)
    claims = {
        "userId": str(user.id),
        "username": user.username,
        "jti": str(begun.id),
        "iat": issued,
        "exp": expires,
    }
    return jwt.encode(claims, get_settings().jwt_secret.get_secret_value(), algorithm=ALGORITHM)


async def insert(session: AsyncSession, name: str, email: str, digest: str | None) -> User:
    """Add the user under the first free username. Two that race are told apart by the index.

    `digest` is the password's; None for who signs in elsewhere only. Conflict when the email is taken.
    """
    stem = _username(name)
    while True:
        taken = set(
            await session.scalars(select(col(User.username)).where(col(User.username).startswith(stem)))
        )
        username = next(u for n in range(1, len(taken) + 2) if (u := _numbered(stem, n)) not in taken)
        user = User(name=name, username=username, email=email, password_hash=digest)
        try:
            async with session.begin_nested():
                session.add(user)
        except IntegrityError as error:
            if "users_email" in str(error.orig):
                raise Conflict("An account with this email exists already. Sign in instead.") from None
            if "users_username" not in str(error.orig):
                raise
        else:
            return user


def _numbered(stem: str, number: int) -> str:
    return stem if number == 1 else f"{stem}-{number}"


def _username(name: str) -> str:
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", ascii_only).strip("-")[:USERNAME_LENGTH] or "user"


def _email(email: str) -> str:
    """As it is kept. The domain is not looked up: a company's own may be known inside only."""
    email = text.line(email, "email", limit=254)
    try:
        return validate_email(email, check_deliverability=False, globally_deliverable=False).normalized
    except EmailNotValidError as error:
        raise Invalid("That is not an email address.", email=str(error)) from None


def acceptable(password: str, field: str = "password") -> None:
    """Invalid for a password that nobody should have; `field` is what it came in."""
    if len(password) < passwords.MIN_LENGTH:
        reason = f"needs {passwords.MIN_LENGTH} characters or more"
    elif not text.storable(password):
        reason = "holds a character that cannot be typed"
    elif len(password.encode()) > passwords.MAX_BYTES:
        reason = f"may have at most {passwords.MAX_BYTES} bytes"
    else:
        return
    raise Invalid(f"The password {reason}.", **{field: reason})
