"""What the product may call. Nothing here touches Docker, git or an agent: it reads and writes rows,
and enqueues durable workflows in the caller's transaction.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import asdict, fields
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Select, delete, exists, func, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from engine.admission import AlreadyRunning, hold_admission, running, slots_taken, take_opened
from engine.agents.demo_cards import CARDS, MODEL, PROVIDER
from engine.enqueue import Enqueuer
from engine.errors import RunError
from engine.git.addresses import names_local, normalise
from engine.git.remote import parse
from engine.models import Ask, Batch, Run, RunDiff, RunEvent, Worker, now
from engine.queues import RUNS
from engine.record import Entry, append
from engine.settings import EngineSettings
from engine.signals import EGRESS, stir
from engine.views import (
    AskView,
    DiffView,
    EventView,
    Health,
    NewRun,
    RemoteFound,
    RunView,
    SignInFound,
    view_of,
)

__all__ = [
    "AlreadyRunning",
    "AskView",
    "DiffView",
    "Engine",
    "EventView",
    "Health",
    "NewRun",
    "ParallelLimitReached",
    "RemoteFound",
    "RunView",
    "SignInFound",
]

CHECK_SECONDS = 30.0
PROVIDER_SECONDS = 90.0
"""A sandbox may have to start first."""

DEMO_CARDS = CARDS
"""(title, description) of each card of the demo project."""
DEMO_MODEL = f"{PROVIDER}/{MODEL}"
"""The scripted model, which knows the demo project's cards alone."""

Ended = Callable[[Any, UUID], Awaitable[None]]
"""As `ports.Product.ended`: told in the transaction that records a run's end."""


class ParallelLimitReached(Exception):
    """This user's runs, waiting ones included, already fill their limit."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} of your tasks are running already; wait for one to end or cancel one")


class Engine:
    """The engine, as the product sees it. One per process; `session` arguments are the caller's."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._enqueuer = Enqueuer(settings)

    # -- what the product wants done -------------------------------------------------------------

    async def start(self, session: AsyncSession, new: NewRun, limit: int) -> UUID:
        """Admit a run and enqueue it, in the caller's transaction. It starts when that commits.

        Raises ParallelLimitReached when `limit` runs of this user take their slots (waiting ones do), and
        AlreadyRunning when the task has one that is open. The lock makes admissions of one user queue up: a
        count inside the INSERT alone let eight through a limit of three.
        """
        await hold_admission(session, new.user_id)
        if await running(session, [new.task_id]):
            raise AlreadyRunning
        taken = await slots_taken(session, new.user_id)
        if taken >= limit:
            raise ParallelLimitReached(limit)
        opened = await take_opened(session, new.user_id)
        run = Run(id=opened or uuid4(), **asdict(new), branch=f"openlinear/{new.task_id}")
        try:
            async with session.begin_nested():
                session.add(run)
        except IntegrityError as error:  # another user pressed Execute on this task in the same instant
            raise AlreadyRunning from error
        await self._enqueuer.enqueue(session, "run", RUNS, str(run.id), str(run.id), priority=taken + 1)
        return run.id

    async def hold_admission(self, session: AsyncSession, user_id: UUID) -> None:
        """Make this user's admissions wait until the transaction ends. Before any row is locked."""
        await hold_admission(session, user_id)

    async def cancel(self, session: AsyncSession, run_id: UUID, ended: Ended) -> bool:
        """Ask for the run's end. False when it had ended; asking twice changes nothing.

        A run that no worker has begun is ended here: `ended` is then called as the worker's `Product`
        would be. Locks are taken in a worker's order: the run, what `ended` takes, the news.
        """
        run = await session.get(Run, run_id, with_for_update=True)
        if run is None or run.ended_at is not None:
            return False
        run.cancel_requested_at = run.cancel_requested_at or now()
        if run.fence == 0:
            run.status, run.ended_at, run.cleared_at = "cancelled", now(), now()
            run.message = ""
            await session.flush()
            await ended(session, run_id)
            await append(session, run, [Entry("status", "ended", message="Cancelled")])
        await session.flush()
        await stir(session, run_id)
        return True

    async def answer(self, session: AsyncSession, ask_id: UUID, answer: dict[str, Any]) -> bool:
        """Answer what an agent asked (shapes: `ports.Agent.answer`). False when it was settled already."""
        ask = await session.get(Ask, ask_id, with_for_update=True)
        if ask is None or ask.answered_at is not None or ask.settled_at is not None:
            return False
        ask.answer, ask.answered_at = answer, now()
        await session.flush()
        await stir(session, ask.run_id)
        return True

    async def egress_changed(self, session: AsyncSession) -> None:
        """Somebody chose anew what their agents may reach: it holds once the transaction commits."""
        await stir(session, EGRESS)

    async def refused_hosts(self, user_id: UUID) -> list[str]:
        """Hosts that this user's agents asked for of late and were refused, the latest first. Agents named
        them. EngineAway when no worker answers.
        """
        return [str(host) for host in await self.call("refused_hosts", str(user_id))]

    async def check_remote(self, project_id: UUID, user_id: UUID) -> RemoteFound:
        """Ask a worker what the project's remote says of itself. EngineAway when none answers."""
        found = await self.call("check_remote", str(project_id), str(user_id))
        return RemoteFound(found["default_branch"], tuple(found["branches"]), found["error"])

    async def try_provider(self, user_id: UUID, provider: str, model: str) -> str | None:
        """One tiny request to a model with this user's key: why it failed, or None. EngineAway."""
        told = await self.call("try_provider", str(user_id), provider, model, seconds=PROVIDER_SECONDS)
        return str(told["error"]) if told["error"] else None

    async def begin_sign_in(self, user_id: UUID, provider: str, method: int | None) -> SignInFound:
        """Where this user signs in to a provider; without a `method`, by the first that works from where
        agents run. EngineAway when no worker answers.
        """
        wanted = "" if method is None else str(method)
        told = await self.call("begin_sign_in", str(user_id), provider, wanted, seconds=PROVIDER_SECONDS)
        return SignInFound(told["url"], told["method"], told["instructions"], told["error"], told["way"])

    async def end_sign_in(self, user_id: UUID, provider: str, method: int) -> str | None:
        """Have a worker fetch the code from the product and hand it in: why that failed, or None."""
        told = await self.call("end_sign_in", str(user_id), provider, str(method), seconds=PROVIDER_SECONDS)
        return str(told["error"]) if told["error"] else None

    async def call(self, workflow: str, *args: str, seconds: float = CHECK_SECONDS) -> Any:
        """What a worker answers to a short workflow. EngineAway when none does in time."""
        return await self._enqueuer.call(workflow, *args, seconds=seconds)

    def remote_trouble(self, url: str) -> str | None:
        """What is wrong with a clone URL by its looks alone, with the cure; None when nothing is."""
        try:
            parse(url, allow_local=self._settings.allow_local_remotes)
        except RunError as error:
            return error.reason
        return None

    def host_trouble(self, host: str) -> str | None:
        """What is wrong with a host's name by its looks alone, after "it …"; None when nothing is."""
        known = normalise(host)
        if known is None:
            return "names no valid host"
        if not self._settings.allow_local_remotes and names_local(known):
            return "names this machine or a private network. Set ALLOW_LOCAL_REMOTES=true to allow that"
        return None

    async def prune(self, session: AsyncSession, tasks: Select[tuple[UUID]]) -> None:
        """Forget the runs that have ended, and all about them, whose task `tasks` does not select."""
        await session.execute(delete(Run).where(_over, col(Run.task_id).not_in(tasks)))
        empty = ~exists().where(col(Run.batch_id) == col(Batch.id))
        await session.execute(delete(Batch).where(col(Batch.ended_at).is_not(None), empty))

    # -- what the product reads --------------------------------------------------------------------

    async def run(self, session: AsyncSession, run_id: UUID) -> RunView | None:
        run = await session.get(Run, run_id)
        return view_of(RunView, run) if run else None

    async def latest(self, session: AsyncSession, task_ids: Collection[UUID]) -> dict[UUID, RunView]:
        """The last run of each task that has one, in one query."""
        if not task_ids:
            return {}
        rows = await session.execute(
            select(Run)
            .where(col(Run.task_id).in_(task_ids))
            .ext(distinct_on(col(Run.task_id)))
            .order_by(col(Run.task_id), col(Run.created_at).desc())
        )
        return {run.task_id: view_of(RunView, run) for run in rows.scalars()}

    async def proposed(self, session: AsyncSession, pr_url: str) -> list[RunView]:
        """The runs that opened this pull request and that no later run of their task has followed. Letters
        of either case are the same, as they are to a forge.
        """
        theirs = select(col(Run.task_id)).where(func.lower(col(Run.pr_url)) == pr_url.lower())
        latest = await self.latest(session, list(await session.scalars(theirs)))
        return [run for run in latest.values() if run.pr_url and run.pr_url.lower() == pr_url.lower()]

    async def open_runs(self, session: AsyncSession, user_id: UUID) -> int:
        """How many of this user's slots are taken."""
        return await slots_taken(session, user_id)

    async def open_of(self, session: AsyncSession, user_id: UUID, projects: Collection[UUID]) -> list[UUID]:
        """The runs of this user in these projects that have not ended, the oldest first."""
        mine = (col(Run.user_id) == user_id) & col(Run.project_id).in_(projects)
        rows = await session.execute(
            select(col(Run.id)).where(mine, col(Run.ended_at).is_(None)).order_by(col(Run.created_at))
        )
        return list(rows.scalars())

    async def log(
        self, session: AsyncSession, run_id: UUID, after: int = 0, limit: int = 200
    ) -> list[EventView]:
        """Events of a run with a number greater than `after`, in order."""
        return await self._events(
            session, _EVENTS.where(col(RunEvent.run_id) == run_id, col(RunEvent.seq) > after), limit
        )

    async def news(self, session: AsyncSession, after: int, limit: int = 500) -> list[EventView]:
        """Events of all runs with an id greater than `after`, in the order they were committed."""
        return await self._events(session, _EVENTS.where(col(RunEvent.id) > after), limit)

    async def news_of(
        self, session: AsyncSession, projects: Collection[UUID], after: int, limit: int = 500
    ) -> list[EventView]:
        """The same for the runs of these projects alone."""
        query = _EVENTS.where(col(RunEvent.id) > after, col(Run.project_id).in_(projects))
        return await self._events(session, query, limit)

    async def latest_news(self, session: AsyncSession) -> int:
        """The id of the last event of any run; 0 when there is none."""
        return await session.scalar(select(func.max(col(RunEvent.id)))) or 0

    async def diff(self, session: AsyncSession, run_id: UUID) -> DiffView | None:
        diff = await session.get(RunDiff, run_id)
        return DiffView(diff.patch, diff.files) if diff else None

    async def asks(self, session: AsyncSession, run_ids: Collection[UUID]) -> list[AskView]:
        """What these runs wait for, oldest first."""
        if not run_ids:
            return []
        rows = await session.execute(
            select(Ask)
            .join(Run, col(Run.id) == col(Ask.run_id))
            .where(
                col(Ask.run_id).in_(run_ids),
                col(Ask.answered_at).is_(None),
                col(Ask.settled_at).is_(None),
                col(Run.ended_at).is_(None),
            )
            .order_by(col(Ask.asked_at))
        )
        return [view_of(AskView, ask) for ask in rows.scalars()]

    async def ask(self, session: AsyncSession, ask_id: UUID) -> AskView | None:
        ask = await session.get(Ask, ask_id)
        return view_of(AskView, ask) if ask else None

    async def health(self, session: AsyncSession) -> Health:
        """Who is alive: a worker that was seen within its lease."""
        lease = timedelta(seconds=self._settings.worker_lease_seconds)
        rows = await session.execute(select(Worker).where(col(Worker.seen_at) > func.now() - lease))
        workers = list(rows.scalars())
        able = [worker for worker in workers if worker.trouble is None]
        first = next(iter(able or workers), None)
        return Health(
            workers=len(workers),
            sandbox=first.sandbox if first else "",
            trouble=first.trouble if first else None,
        )

    async def close(self) -> None:
        await self._enqueuer.close()

    # -- how -------------------------------------------------------------------------------------------

    async def _events(self, session: AsyncSession, query: Any, limit: int) -> list[EventView]:
        rows = await session.execute(query.order_by(col(RunEvent.id)).limit(limit))
        return [
            EventView(
                task_id=task_id,
                project_id=project_id,
                **{name: getattr(event, name) for name in _EVENT_FIELDS},
            )
            for event, task_id, project_id in rows
        ]


# Until its workspace is gone, the janitor needs to know of the run.
_over = col(Run.ended_at).is_not(None) & (col(Run.tidied_at).is_not(None) | col(Run.base_sha).is_(None))
_EVENTS = select(RunEvent, col(Run.task_id), col(Run.project_id)).join(
    Run, col(Run.id) == col(RunEvent.run_id)
)
_EVENT_FIELDS = [field.name for field in fields(EventView) if field.name not in ("task_id", "project_id")]
