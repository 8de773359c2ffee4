"""A run as one OpenTelemetry trace: a span for the run, and one below it for each step that was done.

Off, and not even imported, unless OTEL_EXPORTER_OTLP_ENDPOINT (or its `_TRACES_` form) names a
collector. DBOS can trace by itself, but its spans do not fit: a workflow's span is lost with the
worker that began it, so that the steps of the next one have no parent, and an error's whole text
becomes the span's status. Here the ids derive from the run's, so any worker adds to the same trace,
and the run's own span is told once, by whoever records its end. No prompt, name or text goes along.
"""

import asyncio
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from engine.models import Batch, Run
from engine.ownership import Hold
from engine.world import world

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

log = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0
SERVICE = "openlinear-engine"
SWITCHES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

_provider: "TracerProvider | None" = None
_telling: ContextVar[UUID | None] = ContextVar("telling", default=None)
"""The run whose own span begins just now: it gets its ids from it."""


def setup(worker: str) -> None:
    """Begin to export where the environment names a collector; the standard variables say how."""
    if any(os.environ.get(name) for name in SWITCHES):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

        start(worker, OTLPSpanExporter())


def start(worker: str, exporter: "SpanExporter") -> None:
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator  # noqa: PLC0415

    class Ids(RandomIdGenerator):
        def generate_trace_id(self) -> int:
            run = _telling.get()
            return run.int if run else super().generate_trace_id()

        def generate_span_id(self) -> int:
            run = _telling.get()
            return _span_id(run) if run else super().generate_span_id()

    global _provider  # noqa: PLW0603 - one per process, as OpenTelemetry has it
    names = {"service.name": os.environ.get("OTEL_SERVICE_NAME", SERVICE), "service.instance.id": worker}
    _provider = TracerProvider(resource=Resource.create(names), id_generator=Ids(), shutdown_on_exit=False)
    _provider.add_span_processor(BatchSpanProcessor(exporter))


async def stop() -> None:
    """Hand over what was not sent yet; a collector that does not answer is not waited for."""
    global _provider
    provider, _provider = _provider, None
    if provider is not None:
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await asyncio.to_thread(provider.force_flush)


@contextmanager
def step(run: UUID, name: str) -> "Iterator[Span | None]":
    """A span around one doing of a step. None where nothing is traced."""
    if _provider is None:
        yield None
        return
    from opentelemetry.trace import use_span  # noqa: PLC0415

    span = _provider.get_tracer("openlinear").start_span(name, context=_below(run))
    with use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        yield span


async def describe(span: "Span | None", hold: Hold, result: str, kind: str) -> None:
    """Say of a step's span which run it was of and what it came to.

    Never fails the step: a trace is worth less than the run.
    """
    if span is None or not span.is_recording():
        return
    try:
        async with world().database.transaction() as session:
            run = await session.get(Run, hold.id)
            subject: Run | Batch = run if run is not None else await session.get_one(Batch, hold.id)
        failed = {"openlinear.error.kind": kind} if result == "failed" else {}
        outcome = {"openlinear.step.result": result, "openlinear.fence": hold.fence, **failed}
        span.set_attributes(_facts(subject) | outcome)
        if result in ("failed", "error"):
            _mark_failed(span)
    except Exception as error:
        log.warning("a step could not be traced: %s", type(error).__name__)


def run_ended(run: Run) -> None:
    """The run's own span, from its press to its end, under the id that its steps name as their parent.

    Told once, by whoever recorded the end.
    """
    if _provider is None or run.ended_at is None:
        return
    from opentelemetry.context import Context  # noqa: PLC0415

    outcome = {
        "openlinear.run.status": run.status,
        "openlinear.run.outcome": run.outcome,
        "openlinear.error.kind": run.error_kind,
    }
    token = _telling.set(run.id)
    try:
        span = _provider.get_tracer("openlinear").start_span(
            "run",
            context=Context(),
            start_time=_nanoseconds(run.created_at),
            attributes=_facts(run) | {name: value for name, value in outcome.items() if value is not None},
        )
    finally:
        _telling.reset(token)
    if run.status == "failed":
        _mark_failed(span)
    span.end(_nanoseconds(run.ended_at))


def _facts(run: Run | Batch) -> dict[str, Any]:
    if isinstance(run, Batch):
        return {"openlinear.batch.id": str(run.id), "openlinear.project.id": str(run.project_id)}
    return {
        "openlinear.run.id": str(run.id),
        "openlinear.project.id": str(run.project_id),
        "openlinear.agent": run.agent,
        "openlinear.model": run.model,
        "openlinear.attempt": run.attempt,
    }


def _mark_failed(span: "Span") -> None:
    from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415

    span.set_status(Status(StatusCode.ERROR))


def _below(run: UUID) -> Any:
    """The context of a span whose parent is the run's."""
    from opentelemetry import trace  # noqa: PLC0415

    parent = trace.SpanContext(run.int, _span_id(run), is_remote=True, trace_flags=trace.TraceFlags(1))
    return trace.set_span_in_context(trace.NonRecordingSpan(parent))


def _span_id(run: UUID) -> int:
    """Half of a random UUID is random enough, and never zero: its variant's bits are not."""
    return run.int & (2**64 - 1)


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1e6) * 1000
