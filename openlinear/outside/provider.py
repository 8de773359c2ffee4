"""What signing in elsewhere is made of, whichever the provider."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

ProviderId = Literal["github", "oidc"]


@dataclass(frozen=True, slots=True)
class Challenge:
    """What one sign-in is recognised by when it comes back. Random, and of one use."""

    state: str
    verifier: str = field(repr=False)
    """PKCE's: the provider gives the token to whoever knows it alone."""
    nonce: str


@dataclass(frozen=True, slots=True)
class Grant:
    """What a provider gives for a code."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None
    """None for a token that ends by being revoked only."""
    scopes: tuple[str, ...] = ()
    id_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Profile:
    """Who somebody is at a provider. `email` is a verified one, or None; `no_email` is why, for the log."""

    subject: str
    login: str
    name: str
    email: str | None
    avatar_url: str | None = None
    no_email: str = ""


class Trouble(Exception):
    """A sign-in that came to nothing; `code` is a key of `WORDS`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Provider(Protocol):
    """One that people sign in with. Its methods raise Trouble."""

    @property
    def id(self) -> ProviderId: ...
    @property
    def name(self) -> str:
        """As people know it."""

    @property
    def issuer(self) -> str:
        """Whose subjects these are: the same subject of another issuer is somebody else."""

    @property
    def keeps_token(self) -> bool:
        """Whether its tokens are of use after signing in."""

    async def authorize(self, challenge: Challenge) -> str:
        """Where the browser goes to sign in."""

    async def redeem(self, code: str, challenge: Challenge) -> Grant: ...

    async def profile(self, grant: Grant, challenge: Challenge) -> Profile: ...


WORDS: Mapping[str, str] = {
    "denied": "You declined at {name}, so nothing was done. Try again and accept there to go on.",
    "expired": "This sign-in took too long, was used already, or was begun in another browser. "
    "Begin it again here.",
    "refused": "{name} did not accept the sign-in: its code was over or wrong. Try again. If it stays so, "
    "who runs this server has to check its client id, secret and callback address.",
    "away": "{name} cannot be reached now. Try again in a moment.",
    "answer": "{name} answered something that cannot be trusted, so nobody was signed in. "
    "Who runs this server finds the reason in its log.",
    "email": "{name} names no verified email address of yours. Verify one there, then try again.",
    "exists": "There is an account with your email here already. Log in with your password, then connect "
    "{name} on your account page.",
    "taken": "This account at {name} is connected to another account here. Disconnect it there first.",
    "other": "You have connected another account at {name}. Disconnect that one first.",
    "signed_out": "Log in first, then connect {name} from your own account page.",
    "disabled": "Your account here is disabled. Ask an administrator of this server.",
    "closed": "You have no account here yet, and a new one needs an invitation. Ask an administrator, or a "
    "team's admin, for a link, and open it.",
    "busy": "Too many tries from this address. Wait some minutes, then try again.",
}


def words(code: str, name: str) -> str:
    """What happened, and the cure; empty for a code that is none of ours."""
    return WORDS.get(code, "").format(name=name)
