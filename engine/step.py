"""What every step of a run has in common: it is checkpointed, it can be cancelled, its errors are results."""

import asyncio
import errno
import functools
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, NotRequired, Protocol, TypedDict, TypeVar
from uuid import UUID

import psycopg
import sqlalchemy.exc
from dbos import DBOS
from sqlalchemy.exc import DBAPIError

from engine.errors import Cancelled, RunError
from engine.models import ENDED, now
from engine.observe import observed
from engine.ownership import Hold
from engine.record import Recorder, storable
from engine.world import World, world

log = logging.getLogger(__name__)


class End(TypedDict):
    """How a run ends. `reason` and `kind` for a failure, `outcome` for a success.

    `wait` is how many seconds the other side asks to be left alone before it is asked again.
    """

    status: str
    outcome: str | None
    reason: str | None
    kind: str | None
    wait: NotRequired[float]


def success(outcome: str) -> End:
    return End(status="done", outcome=outcome, reason=None, kind=None)


def failure(error: RunError) -> End:
    end = End(status="failed", outcome=None, reason=storable(error.reason), kind=error.kind)
    return end if error.wait is None else {**end, "wait": error.wait}


def internal(place: str) -> End:
    """A bug of ours ended the run. The traceback is in the engine's log alone."""
    return failure(
        RunError(f"Something went wrong in OpenLinear itself ({place}). The engine's log has more.")
    )


CANCELLED = End(status="cancelled", outcome=None, reason=None, kind=None)


class _Retries(TypedDict):
    retries_allowed: bool
    interval_seconds: float
    max_attempts: int
    backoff_rate: float


PATIENTLY = _Retries(retries_allowed=True, interval_seconds=1.0, max_attempts=10_000, backoff_rate=1.0)
"""For steps whose failure would leave a run without an end: tried each second until it works."""

_PASSING = ("08", "57P", "53300", "40001", "40P01", "25P03")
"""SQLSTATEs, or how they begin, of what passes: a lost or refused connection, a restart, a deadlock, a
transaction that was taken for a frozen process's."""


def database_away(error: BaseException) -> bool:
    """Whether the database could not be asked just now, as against having refused what it was told."""
    if isinstance(error, sqlalchemy.exc.TimeoutError):
        return True  # no connection became free in time
    cause = error.orig if isinstance(error, DBAPIError) else error
    if not isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    return cause.sqlstate is None or cause.sqlstate.startswith(_PASSING)


T = TypeVar("T")


async def insisting(ask: Callable[[], Awaitable[T]]) -> T:
    """What the database answers, as soon as it is there to be asked."""
    while True:
        try:
            return await ask()
        except Exception as error:
            if not database_away(error):
                raise
            await asyncio.sleep(1.0)


class Books(Protocol):
    """A recorder, of a run's history or of a batch's."""

    @property
    def id(self) -> UUID: ...

    async def subject(self) -> Any:
        """The row as it is now: it has a `status` and a `cancel_requested_at`."""

    async def write(self, entries: Sequence[Any], **columns: Any) -> None: ...


R = TypeVar("R", bound=Books)
Body = Callable[[World, Any, R], Coroutine[Any, Any, End | None]]
Step = Callable[[Hold], Coroutine[Any, Any, End | None]]


def step(body: Body[Recorder]) -> Step:
    """A checkpointed step of a run: stops when it is cancelled, turns errors into how the run ends."""
    return checkpointed(body, lambda here, hold: Recorder(here.database, hold))


def checkpointed(body: Body[R], recorder_of: Callable[[World, Hold], R]) -> Step:
    """The same for whatever `recorder_of` keeps the books of."""

    @DBOS.step(name=body.__name__)
    @observed(body.__name__)
    @functools.wraps(body)
    async def work(hold: Hold) -> End | None:
        here = world()
        recorder = recorder_of(here, hold)
        while True:
            try:
                end = await _result(here, recorder, body)
            except Exception as error:  # a step may be repeated, so an outage costs time alone
                log.warning("%s: %s waits for the database: %s", hold.id, body.__name__, type(error).__name__)
                await asyncio.sleep(1.0)
                continue
            await here.containers.unless_parked()
            return end

    return work


async def _result(here: World, recorder: R, body: Body[R]) -> End | None:
    """What the body came to: None, its own end, or its error as one. Raises while the database is away."""
    try:
        return await _unless_cancelled(here, recorder, body)
    except Cancelled:
        return CANCELLED
    except RunError as error:
        return failure(await _explained(here, recorder, body.__name__, error))
    except OSError as error:
        log.exception("%s: %s failed", recorder.id, body.__name__)
        return failure(_os_error(error))
    except Exception as error:
        if database_away(error):
            raise
        log.exception("%s: %s failed", recorder.id, body.__name__)
        return internal(body.__name__)


async def _unless_cancelled(here: World, recorder: R, body: Body[R]) -> End | None:
    """Do the step's work, or stop it midway when somebody cancels."""
    work = asyncio.create_task(body(here, await recorder.subject(), recorder))
    cancelled = asyncio.create_task(_cancelled(here, recorder))
    try:
        await asyncio.wait([work, cancelled], return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        cancelled.result()  # raises when it was the look at the row that failed
        raise Cancelled
    finally:
        for task in (work, cancelled):
            task.cancel()
        await asyncio.gather(work, cancelled, return_exceptions=True)


async def _cancelled(here: World, recorder: Books) -> None:
    """Return once it is to end. Reads its row again now and then, should a hint be lost."""
    with here.signals.watch(recorder.id) as stirred:
        while True:
            stirred.clear()
            subject = await recorder.subject()
            if subject.cancel_requested_at is not None or subject.status in ENDED:
                await recorder.write([], cancel_taken_at=now())
                return
            try:
                async with asyncio.timeout(2.0):
                    await stirred.wait()
            except TimeoutError:
                continue


async def _explained(here: World, recorder: Books, step: str, error: RunError) -> RunError:
    """A dead agent is only a symptom: say what killed it, where the sandbox can tell."""
    if error.kind not in ("agent_crash", "timeout") or step not in ("prepare", "converse"):
        return error
    try:
        cause = await here.sandbox.cause_of_death((await recorder.subject()).user_id)
    except Exception as trouble:  # the sandbox's host may be away: that is no reason to lose the run's end
        log.warning("run %s: nobody can say what ended its agent: %s", recorder.id, trouble)
        return error
    return cause or error


def _os_error(error: OSError) -> RunError:
    if error.errno == errno.ENOSPC:
        return RunError("The disk of this machine is full. Free some space, then retry the task.", "disk")
    return RunError(
        f"This machine refused: {error.strerror}. Check the engine's log, then retry.", "internal"
    )
