"""What the product may call. Nothing here touches Docker, git or an agent: it reads and writes rows,
and enqueues durable workflows in the caller's transaction.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


class ParallelLimitReached(Exception):
    """This user's runs, waiting ones included, already fill their limit."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} of your tasks are running already; wait for one to end or cancel one")


class AlreadyRunning(Exception):
    """The task has a run that has not ended."""


class EngineAway(Exception):
    """No engine worker answered in time."""


@dataclass(frozen=True, slots=True)
class NewRun:
    task_id: UUID
    project_id: UUID
    user_id: UUID
    title: str
    prompt: str
    agent: str
    model: str
    author_name: str
    author_email: str
    base_branch: str


@dataclass(frozen=True, slots=True)
class RunView:
    """A run's row, for reading. Times are UTC; cost is US dollars."""

    id: UUID
    task_id: UUID
    project_id: UUID
    user_id: UUID
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    agent: str
    model: str
    status: str
    progress: int
    message: str
    error: str | None
    error_kind: str | None
    outcome: str | None
    branch: str
    pr_url: str | None
    pr_number: int | None
    additions: int
    deletions: int
    files_changed: int
    tokens_in: int
    tokens_out: int
    cost: float
    last_seq: int


@dataclass(frozen=True, slots=True)
class EventView:
    """One event of a run. `id` orders all news of the installation, `seq` the run's own."""

    id: int
    run_id: UUID
    task_id: UUID
    project_id: UUID
    seq: int
    time: datetime
    kind: str
    level: str
    part: str
    state: str
    message: str
    details: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class DiffView:
    patch: str
    files: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class AskView:
    id: UUID
    run_id: UUID
    kind: str
    text: str
    details: dict[str, Any]
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class RemoteFound:
    """What a remote said of itself, or `error`: why it could not be read, with the cure."""

    default_branch: str | None
    branches: tuple[str, ...]
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Health:
    workers: int
    sandbox: str
    """`docker`, `process`, or empty when no worker lives."""
    trouble: str | None
    """Why agents cannot run now, with the cure."""


# class Engine — one per process:
#   def __init__(self, settings: EngineSettings)
#   async def start(self, session: AsyncSession, new: NewRun, limit: int) -> UUID
#       raises ParallelLimitReached, AlreadyRunning; inserts and enqueues in the caller's transaction
#   async def cancel(self, session, run_id: UUID) -> bool          False when it had ended
#   async def answer(self, session, ask_id: UUID, answer: dict) -> bool
#   async def latest(self, session, task_ids: Collection[UUID]) -> dict[UUID, RunView]
#   async def run(self, session, run_id) -> RunView | None
#   async def log(self, session, run_id, after: int = 0, limit: int = 200) -> list[EventView]
#   async def diff(self, session, run_id) -> DiffView | None
#   async def asks(self, session, run_ids) -> list[AskView]         open ones
#   async def news(self, session, after: int, limit: int = 500) -> list[EventView]
#   async def check_remote(self, project_id, user_id) -> RemoteFound   (raises EngineAway)
#   async def health(self, session) -> Health
#   def remote_trouble(self, url: str) -> str | None    pure syntax/address check of a clone URL (no network)
#   async def close(self)
