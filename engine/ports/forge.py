"""Where pull requests live, and what it or git asks for."""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Credential:
    """What git or a forge asks for, at the moment of use."""

    username: str
    password: str = field(repr=False)
    cure: str = "Enter a new one."
    """What a person does when it is not accepted any more."""


@dataclass(frozen=True, slots=True)
class PullRequest:
    number: int
    url: str


class Forge(Protocol):
    """Where pull requests live."""

    def hosts(self, clone_url: str) -> bool:
        """Whether this remote is one of this forge's."""

    async def open_pull_request(
        self, clone_url: str, credential: Credential, *, head: str, base: str, title: str, body: str
    ) -> PullRequest:
        """The open pull request of this branch: a new one, or the one that is there already."""
