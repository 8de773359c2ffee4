"""Accounts and logins. An `Actor` is made here, from a checked token, and nowhere else."""

import re
import unicodedata
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import jwt
from email_validator import EmailNotValidError, validate_email
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear import passwords
from openlinear.models import AuthSession, User
from openlinear.models.columns import now
from openlinear.services import news, text, throttle
from openlinear.services.errors import Conflict, Invalid, NotSignedIn
from openlinear.services.views import Actor, UserView
from openlinear.settings import get_settings

TOKEN_DAYS = 7
ALGORITHM = "HS256"
USERNAME_LENGTH = 30


async def register(
    session: AsyncSession, name: str, email: str, password: str, *, address: str
) -> tuple[str, UserView]:
    """A new account and its first login: the token and the user. Conflict when the email is taken."""
    await throttle.admit("register from", address, get_settings().registrations_per_address)
    name = text.line(name, "name", limit=100)
    email = _email(email)
    _acceptable(password)
    digest = await passwords.hash_password(password)
    user = await insert(session, name, email, digest)
    return await begin(session, user), _view(user)


async def login(session: AsyncSession, email: str, password: str, *, address: str) -> tuple[str, UserView]:
    """A login. NotSignedIn, in the same words and time, whether the email or the password is wrong."""
    settings = get_settings()
    account = email.strip().lower()
    await throttle.admit("login from", address, settings.login_tries_per_address)
    await throttle.admit("login as", account, settings.login_tries_per_account)
    user = None
    if _storable(account):
        user = await session.scalar(select(User).where(func.lower(col(User.email)) == account))
    if not await passwords.matches(password, user.password_hash if user else None) or user is None:
        raise NotSignedIn("That email and password do not match an account.")
    await throttle.forget(session, "login as", account)
    return await begin(session, user), _view(user)


async def authenticate(session: AsyncSession, token: str) -> Actor:
    """Whose token this is. NotSignedIn when it is forged, over, or revoked."""
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
    user = await session.scalar(
        select(User)
        .join(AuthSession, col(AuthSession.user_id) == col(User.id))
        .where(
            col(AuthSession.id) == login_id,
            col(User.id) == user_id,
            col(AuthSession.revoked_at).is_(None),
            col(AuthSession.expires_at) > now(),
        )
    )
    if user is None:
        raise NotSignedIn("This login has ended. Sign in again.")
    return Actor(user.id, user.name, user.username, user.email, login_id)


async def logout(session: AsyncSession, actor: Actor) -> None:
    """End this login, everywhere and at once."""
    await session.execute(
        update(AuthSession).where(col(AuthSession.id) == actor.session_id).values(revoked_at=now())
    )
    await news.tell(session, "session:ended", actor.id, data={"sessionId": str(actor.session_id)})


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


async def begin(session: AsyncSession, user: User) -> str:
    """A new login of this user, who has been recognised, as a token."""
    issued = datetime.now(UTC).replace(microsecond=0)
    expires = issued + timedelta(days=TOKEN_DAYS)
    begun = AuthSession(id=uuid4(), user_id=user.id, created_at=issued, expires_at=expires)
    session.add(begun)
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


def _acceptable(password: str) -> None:
    if len(password) < passwords.MIN_LENGTH:
        reason = f"needs {passwords.MIN_LENGTH} characters or more"
    elif not _storable(password):
        reason = "holds a character that cannot be typed"
    elif len(password.encode()) > passwords.MAX_BYTES:
        reason = f"may have at most {passwords.MAX_BYTES} bytes"
    else:
        return
    raise Invalid(f"The password {reason}.", password=reason)


def _storable(value: str) -> bool:
    return "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value)
