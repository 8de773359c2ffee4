"""Around every step of a run: its log lines carry the run's id, its time is counted, its span is told."""

import functools
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from engine import traces
from engine.logs import run_context
from engine.metrics import STEP_FAILURES, STEP_SECONDS, totals

log = logging.getLogger(__name__)

T = TypeVar("T")


def observed(body: Callable[..., Coroutine[Any, Any, T]]) -> Callable[..., Coroutine[Any, Any, T]]:
    """Goes right under `@DBOS.step`, over a function whose first argument is the run's id.

    So it sees each time the step is really done, and none that a successor reads from its checkpoint.
    """
    step = body.__name__

    @functools.wraps(body)
    async def watched(run_id: str, *arguments: Any) -> T:
        began, result, kind = time.perf_counter(), "error", ""
        with run_context(run_id), traces.step(run_id, step) as span:
            try:
                end = await body(run_id, *arguments)
                result, kind = _result(end)
                return end
            finally:
                took = time.perf_counter() - began
                log.info("%s: %s after %.2f s", step, f"failed ({kind})" if kind else result, took)
                totals.observe(STEP_SECONDS, took, step=step, result=result)
                if result == "failed":
                    totals.count(STEP_FAILURES, step=step, kind=kind)
                await traces.describe(span, run_id, result, kind)

    return watched


def _result(end: Any) -> tuple[str, str]:
    """What a step came to: `ok` to go on, else how it ended the run, and the error's class."""
    if not isinstance(end, dict):
        return "ok", ""
    status = str(end.get("status"))
    return "ok" if status == "done" else status, str(end.get("kind") or "")
