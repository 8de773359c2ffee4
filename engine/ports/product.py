"""What the engine asks of the product."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol
from uuid import UUID

from engine.ports.agent import ProviderKey
from engine.ports.forge import Credential
from engine.ports.sandbox import Egress


@dataclass(frozen=True, slots=True)
class RemoteAccess:
    """A project's remote as one user reaches it. `credential` is None for an anonymous read."""

    url: str
    credential: Credential | None


@dataclass(frozen=True, slots=True)
class Known:
    """Whom and what the product knows; anything else of theirs is a left-over."""

    users: frozenset[UUID]
    projects: frozenset[UUID]
    uses: frozenset[tuple[UUID, UUID]] | None = None
    """(user, project) of who may work with what; None where everybody may with everything."""

    def may_use(self, user_id: UUID, project_id: UUID) -> bool:
        return project_id in self.projects and (self.uses is None or (user_id, project_id) in self.uses)


@dataclass(frozen=True, slots=True)
class Brief:
    """What a task says now."""

    title: str
    prompt: str


BatchNews = Literal[
    "started",
    "waiting",
    "merging",
    "updated",
    "completed",
    "failed",
    "cancelled",
    "task:started",
    "task:completed",
    "task:skipped",
]


class Product(Protocol):
    """What the engine asks of the product. Secrets pass through here alone, when they are used.

    Those that take a session (an AsyncSession) are told in the transaction that records what they tell of.
    """

    async def remote(self, project_id: UUID, user_id: UUID) -> RemoteAccess:
        """The project's remote with this user's credential. RunError when they may not read it."""

    async def provider_keys(self, user_id: UUID) -> Sequence[ProviderKey]: ...

    async def egress(self, user_id: UUID) -> Egress:
        """What this user lets their agents reach."""

    async def egresses(self, user_ids: Collection[UUID]) -> Mapping[UUID, Egress]:
        """The same for many at once."""

    async def sign_in_inputs(self, user_id: UUID, provider: str) -> Mapping[str, str]:
        """What the user told of themselves for the sign-in that they begin, which may hold secrets."""

    async def sign_in_code(self, user_id: UUID, provider: str) -> str:
        """What the user brought back from the provider's page; "" where there is no code to bring.

        RunError when they have not begun to sign in, or too long ago.
        """

    async def keep_account(
        self, user_id: UUID, provider: str, account: Mapping[str, Any], *, new: bool
    ) -> None:
        """Keep what the agent holds of an account: a `new` one, or one whose tokens it may have renewed.

        Of two renewals the one that expires later stays, whichever comes first.
        """

    async def known(self) -> Known:
        """Every user and project there is, hidden ones too."""

    async def slots(self, session: Any, user_id: UUID) -> int:
        """How many of this user's runs may be under way at once."""

    async def begins(self, session: Any, run_id: UUID) -> Brief:
        """A run that waited in its batch begins: its card moves. What its task says by now."""

    async def batch(self, session: Any, batch_id: UUID, news: BatchNews, task_id: UUID | None = None) -> None:
        """Something of a batch changed."""

    async def kept(self, session: Any, run_id: UUID) -> None:
        """Work of this ended run is kept now, or no longer."""

    async def waits(self, session: Any, run_id: UUID) -> None:
        """An agent asked something of its person, or what it asked is settled."""

    async def ended(self, session: Any, run_id: UUID) -> None:
        """A run ended."""
