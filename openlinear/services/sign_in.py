"""Signing in elsewhere: out to a provider and back, by the same browser, once, within minutes.

What a sign-in is recognised by lies in a cookie of the browser that began it, sealed: nobody else has
the state and the PKCE verifier, and no table grows by sign-ins that were never finished.
"""

import hmac
import json
import secrets
import time
from dataclasses import asdict, dataclass
from uuid import UUID

from openlinear import db, vault
from openlinear.outside import providers
from openlinear.outside.provider import Challenge, Grant, Profile, Provider, Trouble, words
from openlinear.services import accounts, identities, throttle
from openlinear.services.access import require_login
from openlinear.services.errors import NotFound, NotSignedIn, TooMany
from openlinear.services.views import Actor
from openlinear.settings import get_settings

SECONDS = 600
"""How long somebody may take at the provider; within `throttle.WINDOW`, which remembers what was used."""
PURPOSE = "sign-in"
HOME = "/"
PATH_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Flow:
    """A sign-in under way. `login_id` is set where it connects a logged-in account."""

    provider: str
    challenge: Challenge
    next: str
    ends: float
    invitation: str | None = None
    login_id: str | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """`url` is where the browser goes, `sealed` the cookie it keeps."""

    url: str
    sealed: str


@dataclass(frozen=True, slots=True)
class Ended:
    """What came of it: a session token, or a trouble. `path` is where the browser goes, our own."""

    path: str
    token: str | None = None
    trouble: str | None = None
    connecting: bool = False


@dataclass(frozen=True, slots=True)
class Returned:
    """What the provider sent the browser back with."""

    state: str | None
    code: str | None
    error: str | None


def provider_of(provider_id: str) -> Provider:
    found = next((one for one in providers.configured() if one.id == provider_id), None)
    if found is None:
        raise NotFound("This server is not set up for that way to sign in.")
    return found


def own_path(wanted: str | None) -> str:
    """An address of our own pages; the first page for anything that could lead elsewhere."""
    path = wanted or ""
    safe = path.startswith("/") and path[1:2] not in ("/", "\\") and len(path) <= PATH_LIMIT
    return path if safe and path.isprintable() and path.isascii() else HOME


async def begin(
    provider_id: str,
    *,
    wanted: str | None,
    address: str,
    invitation: str | None = None,
    actor: Actor | None = None,
) -> Begun:
    """Go out to a provider: to sign in, or with an actor to connect their account. Trouble; TooMany."""
    provider = provider_of(provider_id)
    if actor is not None:
        require_login(actor)
    await throttle.admit("sign in from", address, get_settings().login_tries_per_address)
    challenge = Challenge(
        state=secrets.token_urlsafe(32), verifier=secrets.token_urlsafe(64), nonce=secrets.token_urlsafe(32)
    )
    url = await provider.authorize(challenge)
    login_id = str(actor.session_id) if actor else None
    ends = time.time() + SECONDS
    flow = Flow(provider_id, challenge, own_path(wanted), ends, (invitation or "")[:200] or None, login_id)
    return Begun(url, vault.seal(PURPOSE, json.dumps(asdict(flow))))


async def end(
    provider_id: str,
    sealed: str | None,
    returned: Returned,
    *,
    session_token: str | None,
    address: str,
    device: str = "",
) -> Ended:
    """Come back from a provider. What went wrong is part of the answer: a person reads it on a page."""
    flow = _opened(sealed)
    try:
        if flow is None or flow.provider != provider_id:
            raise Trouble("expired")
        return await _end(
            flow,
            provider_of(provider_id),
            returned,
            session_token=session_token,
            address=address,
            device=device,
        )
    except Trouble as trouble:
        code = trouble.code
    except TooMany:
        code = "busy"
    connecting = flow is not None and flow.login_id is not None
    return Ended(flow.next if flow else HOME, trouble=code, connecting=connecting)


async def _end(
    flow: Flow,
    provider: Provider,
    returned: Returned,
    *,
    session_token: str | None,
    address: str,
    device: str,
) -> Ended:
    if not hmac.compare_digest((returned.state or "").encode(), flow.challenge.state.encode()):
        raise Trouble("expired")
    await _once(flow)
    if returned.error is not None or not returned.code:
        raise Trouble("denied" if returned.error == "access_denied" else "refused")
    actor = await _still(flow, session_token) if flow.login_id else None
    grant = await provider.redeem(returned.code, flow.challenge)
    profile = await provider.profile(grant, flow.challenge)
    if actor is not None:
        await _connect(actor, provider, profile, grant)
        return Ended(flow.next, connecting=True)
    await identities.admit(provider, profile, address=address)
    async with db.transaction() as session:
        token = await identities.enter(
            session,
            provider,
            profile,
            grant,
            invitation=flow.invitation,
            address=address,
            device=device,
        )
    return Ended(flow.next, token)


async def _connect(actor: Actor, provider: Provider, profile: Profile, grant: Grant) -> None:
    """The provider took its time: the login that began it may have ended meanwhile."""
    try:
        async with db.transaction() as session:
            await identities.connect(session, actor, provider, profile, grant)
    except NotSignedIn:
        raise Trouble("signed_out") from None


async def _once(flow: Flow) -> None:
    """A state counts once, in whichever web process it comes back to."""
    try:
        await throttle.admit("sign-in", flow.challenge.state, 1)
    except TooMany:
        raise Trouble("expired") from None


async def _still(flow: Flow, session_token: str | None) -> Actor:
    """Who began to connect: by the same login as then, which must not have ended."""
    try:
        async with db.transaction() as session:
            actor = await accounts.authenticate(session, session_token or "")
    except NotSignedIn:
        raise Trouble("signed_out") from None
    if actor.session_id != UUID(flow.login_id):
        raise Trouble("signed_out")
    return actor


def _opened(sealed: str | None) -> Flow | None:
    """The sign-in that this browser began; None where it began none, or too long ago."""
    try:
        said = json.loads(vault.unseal(PURPOSE, sealed or ""))
    except vault.Unreadable:
        return None
    flow = Flow(**{**said, "challenge": Challenge(**said["challenge"])})
    return flow if flow.ends > time.time() else None


def trouble_words(code: str, provider_id: str) -> str:
    """A trouble as a person reads it; empty for what is none of ours."""
    names: dict[str, str] = {one.id: one.name for one in providers.configured()}
    return words(code, names.get(provider_id, "The provider"))
