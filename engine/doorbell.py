"""PostgreSQL tells the workers that there is work, so that an idle one sleeps and a run begins at once.

DBOS asks each queue for work again and again, and each asking is a handful of queries: often enough to be
prompt, it keeps a core a fifth busy for nothing. Here a trigger on its table tells of what is enqueued and
of what ends, which makes room; the asking goes on beside it, seldom, should the telling be lost.
"""

import threading
from typing import Any, Protocol

import dbos._queue

from engine.queues import BATCHES, CHECKS, RUNS
from engine.signals import CHANNEL, WORK, Signals

AGAIN_SECONDS = 0.1
"""A ring may come a moment before DBOS has room for what it tells of: it looks once more, so much later."""

TRIGGER = f"""
CREATE OR REPLACE FUNCTION public.tell_work() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('{CHANNEL}', '{WORK}');
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER tell_work AFTER INSERT OR UPDATE OF status ON dbos.workflow_status
FOR EACH ROW WHEN (NEW.queue_name IS NOT NULL AND NEW.status <> 'PENDING')
EXECUTE FUNCTION public.tell_work()
"""
"""Made after DBOS's own tables (see `openlinear.migrate`)."""


_PLAIN: Any = dbos._queue.queue_worker_thread


class Stop(Protocol):
    """What DBOS's threads wait on between two askings: set when they are to end."""

    def is_set(self) -> bool: ...
    def wait(self, timeout: float) -> bool: ...


class Doorbell:
    def __init__(self) -> None:
        self._rung = threading.Condition()
        self._times = 0

    def ring(self) -> None:
        with self._rung:
            self._times += 1
            self._rung.notify_all()

    def heard(self, times: int, timeout: float) -> int:
        """Return when it was rung more than so many times, or after so many seconds: how often by now."""
        with self._rung:
            self._rung.wait_for(lambda: self._times != times, timeout)
            return self._times

    async def serve(self, signals: Signals) -> None:
        """Ring whenever there is work, until cancelled."""
        with signals.watch(WORK) as stirred:
            while True:
                await stirred.wait()
                stirred.clear()
                self.ring()


class Listening:
    """A queue thread's stop event whose waiting also ends when the doorbell rings."""

    def __init__(self, stop: Stop, bell: Doorbell) -> None:
        self._stop = stop
        self._bell = bell
        self._times = 0
        self._again = False

    def is_set(self) -> bool:
        return self._stop.is_set()

    def wait(self, timeout: float) -> bool:
        times = self._bell.heard(self._times, min(timeout, AGAIN_SECONDS) if self._again else timeout)
        self._again, self._times = times != self._times, times
        return self._stop.is_set()


def hang(bell: Doorbell) -> None:
    """Let the threads that DBOS starts from now on for our queues listen to the bell.

    DBOS 3.4 has no such hook. Its threads only ever wait on the event that they are started with.
    """

    def listening(stop: Stop, instance: Any, queue: Any) -> None:
        ours = queue.name in (RUNS, BATCHES, CHECKS)
        _PLAIN(Listening(stop, bell) if ours else stop, instance, queue)

    dbos._queue.queue_worker_thread = listening  # type: ignore[assignment]
