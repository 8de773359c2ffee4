"""New passwords: by the old one, or by a link that goes to the account's email or an administrator prints."""

import asyncio
from datetime import timedelta
from uuid import UUID

import aiosmtplib
from sqlalchemy import delete
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear import db, mail, passwords
from openlinear.models import Identity, OneTimeLink, User
from openlinear.services import account_log, accounts, links, logins, throttle
from openlinear.services.access import require_login
from openlinear.services.errors import Conflict, Forbidden, Invalid, NotFound
from openlinear.services.views import Actor
from openlinear.settings import get_settings

LASTING = timedelta(minutes=60)
MAILS = 3
"""How many mails an account is sent in a quarter of an hour."""
TRIES = 10
NO_MAIL = (
    "This server sends no mail. Ask an administrator to run `openlinear reset-password` with your email: "
    "it prints a link for you."
)
ENDED = "This link has ended, was used already, or never was. Ask for a new one."
WRONG = "That is not your current password."
SUBJECT = "Choose a new password for OpenLinear"
TEXT = """Somebody, most likely you, asked for a new password for your account at {server}.

Open this link within 60 minutes and choose one:

{url}

It works once. All your logins and access tokens end with it, and GitHub and other accounts that you sign in
with are disconnected: connect them again on your account page.

If you did not ask for it, ignore this mail: nothing has changed.
"""
_under_way: set[asyncio.Task[None]] = set()


async def change(session: AsyncSession, actor: Actor, current: str, new: str) -> int:
    """A new password for the actor. Ends their other logins and their access tokens: how many there were."""
    require_login(actor)
    await throttle.admit("change password as", str(actor.id), TRIES)
    async with db.transaction() as reading:  # no connection is held while passwords are compared and hashed
        digest = (await reading.get_one(User, actor.id)).password_hash
    if digest is None:
        raise Conflict("This account has no password yet. Choose one by the link for a forgotten password.")
    if not await passwords.matches(current, digest):
        raise Invalid(WRONG, currentPassword=WRONG)
    accounts.acceptable(new, "newPassword")
    made = await passwords.hash_password(new)
    user = await session.get_one(User, actor.id, with_for_update=True, populate_existing=True)
    await logins.still(session, actor)
    if user.password_hash != digest:
        raise Conflict("The password was changed at this moment from elsewhere. Sign in with the new one.")
    return await _keep(session, user, made, but=actor.session_id)


async def ask(email: str, *, address: str) -> None:
    """Send a link to whoever has this email. The same answer and time for an email of nobody's."""
    if not mail.configured():
        raise Conflict(NO_MAIL)
    await throttle.admit("reset from", address, get_settings().login_tries_per_address)
    await throttle.admit("reset of", email.strip().lower(), MAILS)
    sending = asyncio.create_task(_send(email))
    _under_way.add(sending)
    sending.add_done_callback(_under_way.discard)


async def link(session: AsyncSession, email: str) -> str:
    """A link to a new password, for the command line. NotFound when nobody has this email. Unscoped."""
    user = await accounts.find(session, email)
    if user is None:
        raise NotFound("No account has this email.")
    return await _link(session, user.id)


async def reset(session: AsyncSession, token: str, password: str, *, address: str) -> None:
    """Spend the link for a new password. Ends all of the account's logins and access tokens.

    Accounts elsewhere are disconnected: whoever had the account before may have connected their own.
    """
    await throttle.admit("reset from", address, get_settings().login_tries_per_address)
    accounts.acceptable(password, "newPassword")
    made = await passwords.hash_password(password)
    spent = await links.take(session, "reset", token)
    if spent is None or spent.user_id is None:
        raise Forbidden(ENDED)
    user = await session.get_one(User, spent.user_id, with_for_update=True)
    await throttle.forget(session, "login as", user.email.lower())
    await session.execute(delete(Identity).where(col(Identity.user_id) == user.id))
    user.github_id = None
    await _keep(session, user, made)


async def _keep(session: AsyncSession, user: User, digest: str, *, but: UUID | None = None) -> int:
    user.password_hash = digest
    await session.execute(delete(OneTimeLink).where(col(OneTimeLink.user_id) == user.id))
    account_log.note("password changed" if but else "password reset", user.id)
    return await logins.end_all(session, user.id, but=but)


async def _link(session: AsyncSession, user_id: UUID) -> str:
    token, made = await links.make(session, "reset", LASTING, user_id=user_id)
    account_log.note("link to a new password made", user_id, id=made.id)
    return f"{get_settings().public_url}/reset#{token}"


async def _send(email: str) -> None:
    """In nobody's name, and after the answer: how long it takes tells nothing."""
    try:
        async with db.transaction() as session:
            user = await accounts.find(session, email)
            if user is None or user.disabled_at is not None:
                return
            url = await _link(session, user.id)
        await mail.send(user.email, SUBJECT, TEXT.format(server=get_settings().public_url, url=url))
    except (aiosmtplib.SMTPException, OSError) as error:
        account_log.log.error("the mail server does not take mail: %s", type(error).__name__)
    except Exception as error:
        account_log.log.error("a link to a new password could not be sent: %s", type(error).__name__)
