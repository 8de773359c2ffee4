"""Connecting an account at a model provider by its own page, and trying what is connected.

The engine asks the user's own agent server; what it hands back is sealed here.
"""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import delete, or_, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from engine.client import SignInFound
from engine.enqueue import EngineAway
from openlinear import db
from openlinear.engine_client import engine_client
from openlinear.models import Provider, ProviderSignIn
from openlinear.models.columns import now
from openlinear.services import credentials, providers
from openlinear.services.errors import Conflict, Invalid, NotFound, Unavailable
from openlinear.services.preferences import SIGN_IN_ENDS_AFTER
from openlinear.services.views import Actor, ProviderView

CODE_LIMIT = 4096
MOST_INPUTS = 20
INPUT_LIMIT = 1024
AWAY = "No engine answered. Start one (`openlinear up`), then try again."
AWAY_AT_END = "No engine answered. Start one (`openlinear up`), then begin to sign in again."
NO_ACCOUNTS = "This provider has no accounts to sign in with. Enter its address, and its key if it needs one."
OTHER_WAY = "You have begun to sign in by another of this provider's ways. Name that method, or begin again."
NO_SIGN_IN = "You have not begun to sign in to this provider, or too long ago. Begin again."


async def begin(
    actor: Actor,
    provider_id: str,
    method: int | None = None,
    inputs: Mapping[str, str] | None = None,
) -> SignInFound:
    """The page to sign in on; without a `method`, by the first of the provider's ways that works here.

    It replaces a sign-in to this provider that the actor had begun before. `inputs` are what that way asks of
    the person; they are sealed until the engine has them.
    """
    providers.check_id(provider_id)
    if provider_id not in providers.KNOWN:
        raise Invalid(NO_ACCOUNTS, providerId="has no accounts to sign in with")
    if method is not None and not 0 <= method < 20:
        raise Invalid("There is no such way to sign in.", method="must be one of the provider's")
    given = credentials.seal_code(json.dumps(_checked(inputs))) if inputs else None
    # Before the engine is asked: from here on the network policy lets the provider's hosts through.
    await _keep(actor.id, provider_id, method=method or 0, code_secret=given)
    try:
        found = await engine_client().begin_sign_in(actor.id, provider_id, method)
        if found.error is not None:
            raise Invalid(found.error, providerId=found.error)
    except BaseException as error:
        await _forget_code(actor.id, provider_id)
        if isinstance(error, EngineAway):
            raise Unavailable(AWAY) from None
        raise
    await _keep(actor.id, provider_id, method=found.way if method is None else method, code_secret=None)
    return found


def _checked(inputs: Mapping[str, str]) -> dict[str, str]:
    text = [*inputs, *inputs.values()]
    if len(inputs) > MOST_INPUTS or any(len(one) > INPUT_LIMIT or not one.isprintable() for one in text):
        reason = f"must be at most {MOST_INPUTS} lines of at most {INPUT_LIMIT} characters"
        raise Invalid(f"The inputs {reason}.", inputs=reason)
    return dict(inputs)


async def _keep(user_id: UUID, provider_id: str, *, method: int, code_secret: str | None) -> None:
    fresh = {"method": method, "code_secret": code_secret, "began_at": now()}
    row = insert(ProviderSignIn).values(user_id=user_id, provider_id=provider_id, **fresh)
    async with db.transaction() as session:
        await session.execute(
            row.on_conflict_do_update(index_elements=["user_id", "provider_id"], set_=fresh)
        )


async def end(actor: Actor, provider_id: str, code: str | None, method: int | None = None) -> ProviderView:
    """Finish it with the code that the page gave; without one where the agent learns by itself. Conflict
    where it was begun by another of the provider's ways than `method`.
    """
    providers.check_id(provider_id)
    code = (code or "").strip()
    if len(code) > CODE_LIMIT or not code.isascii() or (code and not code.isprintable()):
        raise Invalid("The code is not one.", code="must be printable ASCII")
    async with db.transaction() as session:
        row = await session.get(ProviderSignIn, (actor.id, provider_id), with_for_update=True)
        if row is None or row.began_at < now() - SIGN_IN_ENDS_AFTER:
            raise Conflict(NO_SIGN_IN)
        if method is not None and method != row.method:
            raise Conflict(OTHER_WAY)
        row.code_secret = credentials.seal_code(code)
        method = row.method
    try:
        error = await engine_client().end_sign_in(actor.id, provider_id, method)
    except EngineAway:
        raise Unavailable(AWAY_AT_END) from None
    finally:
        await _forget_code(actor.id, provider_id)
    if error is not None:
        raise Invalid(error, code=error)
    async with db.transaction() as session:
        return await providers.one(session, actor, provider_id)


async def try_out(actor: Actor, provider_id: str, model: str | None = None) -> str | None:
    """Send one tiny request with what is connected: why it failed, for a person, or None."""
    async with db.transaction() as session:
        view = await providers.one(session, actor, provider_id)
    chosen = model or next(iter(view.models), "")
    if chosen not in view.models:
        raise Invalid("This provider has no such model here.", model="must be one of the provider's models")
    try:
        return await engine_client().try_provider(actor.id, provider_id, chosen)
    except EngineAway:
        raise Unavailable(AWAY) from None


async def inputs(session: AsyncSession, user_id: UUID, provider_id: str) -> dict[str, str]:
    """For the engine, while it begins: what the user told of themselves."""
    row = await session.get(ProviderSignIn, (user_id, provider_id))
    if row is None or row.code_secret is None:
        return {}
    return dict(json.loads(credentials.unseal_code(row.code_secret)))


async def code(session: AsyncSession, user_id: UUID, provider_id: str) -> str:
    """For the engine, once: what the user brought back. NotFound when there is no sign-in."""
    row = await session.get(ProviderSignIn, (user_id, provider_id), with_for_update=True)
    if row is None or row.code_secret is None or row.began_at < now() - SIGN_IN_ENDS_AFTER:
        raise NotFound(NO_SIGN_IN)
    return credentials.unseal_code(row.code_secret)


async def keep_account(
    session: AsyncSession, user_id: UUID, provider_id: str, account: Mapping[str, Any], *, new: bool
) -> None:
    """A new account replaces what was connected; renewed tokens only older ones of an account still there."""
    expires = int(account.get("expires") or 0)
    kept = {"account_secret": credentials.seal_account(account), "account_expires": expires}
    if new:
        kept["key_secret"] = credentials.seal_key("")
        row = insert(Provider).values(
            user_id=user_id, provider_id=provider_id, models=[], created_at=now(), **kept
        )
        await session.execute(
            row.on_conflict_do_update(
                index_elements=["user_id", "provider_id"],
                set_={**kept, "base_url": None, "created_at": now()},
            )
        )
        await engine_client().egress_changed(session)
        return
    older = or_(col(Provider.account_expires).is_(None), col(Provider.account_expires) < expires)
    mine = (col(Provider.user_id) == user_id) & (col(Provider.provider_id) == provider_id)
    await session.execute(
        update(Provider).where(mine, col(Provider.account_secret).is_not(None), older).values(**kept)
    )


async def _forget_code(user_id: UUID, provider_id: str) -> None:
    """Whichever way it went: a code opens once."""
    async with db.transaction() as session:
        await session.execute(
            delete(ProviderSignIn).where(
                col(ProviderSignIn.user_id) == user_id, col(ProviderSignIn.provider_id) == provider_id
            )
        )
