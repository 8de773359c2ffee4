"""Around every step of a run: its log lines carry the run's id, its time is counted, its span is told."""

import functools
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from engine import traces
from engine.logs import run_context
from engine.metrics import RUN_ENDS, STEP_FAILURES, STEP_SECONDS, totals
from engine.models import Run
from engine.ownership import Hold, Superseded

log = logging.getLogger(__name__)

Doing = Callable[..., Coroutine[Any, Any, Any]]


def observed(step: str) -> Callable[[Doing], Doing]:
    """Goes right under `@DBOS.step`, over a function whose first argument is the hold on the run.

    So it sees each time the step is really done, and none that a successor reads from its checkpoint.
    """

    def watch(body: Doing) -> Doing:
        @functools.wraps(body)
        async def watched(hold: Hold, *arguments: Any) -> Any:
            began, result, kind = time.perf_counter(), "error", ""
            with run_context(str(hold.id)), traces.step(hold.id, step) as span:
                try:
                    end = await body(hold, *arguments)
                    result, kind = _result(end)
                    return end
                except Superseded:
                    result = "superseded"
                    raise
                finally:
                    took = time.perf_counter() - began
                    log.info("%s: %s after %.2f s", step, f"failed ({kind})" if kind else result, took)
                    totals.observe(STEP_SECONDS, took, step=step, result=result)
                    if result == "failed":
                        totals.count(STEP_FAILURES, step=step, kind=kind)
                    await traces.describe(span, hold, result, kind)

        return watched

    return watch


def _result(end: Any) -> tuple[str, str]:
    """What a step came to: `ok` to go on, else how it ended the run, and the error's class."""
    if not isinstance(end, dict):
        return "ok", ""
    status = str(end.get("status"))
    return "ok" if status == "done" else status, str(end.get("kind") or "")


def run_ended(run: Run) -> None:
    """Once the run's end is recorded: counted, logged, and told as the trace's first span."""
    totals.count(RUN_ENDS, status=run.status, kind=run.error_kind or "")
    with run_context(str(run.id)):
        log.info("ended: %s", run.error_kind or run.outcome or run.status)
    traces.run_ended(run)
