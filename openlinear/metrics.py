"""What a web process counts, and the text that Prometheus reads: the same from any of them."""

import asyncio
import json
import logging
import os
import socket
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from uuid import uuid4

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine import metrics
from engine.metrics import COUNTED, EVENT_LAG, HTTP_REQUESTS, HTTP_SECONDS, INFINITE, SUM, Reading, totals
from openlinear import db
from openlinear.services.feed import News
from openlinear.settings import get_settings

log = logging.getLogger(__name__)

FRESH_SECONDS = 2.0
"""How old an answer may be: many scrapers cost no more than one."""
HAND_IN_PATIENCE = 1.0
"""Seconds: a web process that stops has little time."""
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


class Meter:
    """Counts the requests and websockets of the app it is around."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            with sockets:
                await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._counted(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, stream, began = "500", False, time.perf_counter()

        async def watched(message: Message) -> None:
            nonlocal status, stream
            if message["type"] == "http.response.start":
                status = str(message["status"])
                stream = any(value.startswith(b"text/event-stream") for _, value in message["headers"])
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            route, method = template(scope), scope["method"]
            known = method if method in METHODS else "other"
            totals.count(HTTP_REQUESTS, method=known, route=route, status=status)
            if not stream:
                totals.observe(HTTP_SECONDS, time.perf_counter() - began, route=route)


def template(scope: Scope) -> str:
    """The route as it is written in the code, never what somebody asked for."""
    path = getattr(scope.get("route"), "path", None)
    if isinstance(path, str) and path:
        return "/api/*" if path.startswith("/api/{") else path
    return "pages"


class Sockets:
    """How many websockets this process holds open."""

    def __init__(self) -> None:
        self.open = 0

    def __enter__(self) -> None:
        self.open += 1

    def __exit__(self, *error: object) -> None:
        self.open -= 1


sockets = Sockets()


def handed_on(way: str, news: Iterable[News]) -> None:
    """Count how late the runs' events among these are: `read`, `board` or `stream`.

    The times are the worker's clock and ours; where the two machines' differ, this shows it.
    """
    now = datetime.now(UTC)
    for item in news:
        if item.event is not None:
            totals.observe(EVENT_LAG, max(0.0, (now - item.event.time).total_seconds()), way=way)


# -- signs of life --------------------------------------------------------------------------------


@lru_cache
def process_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"


async def serve() -> None:
    """Hand in what was counted, again and again, until cancelled."""
    while True:
        await hand_in()
        await asyncio.sleep(metrics.HAND_IN_SECONDS)


async def hand_in() -> None:
    """Hand in now. An outage is waited out: what was counted stays."""
    try:
        async with asyncio.timeout(HAND_IN_PATIENCE), db.transaction() as session:
            await _hand_in(session)
    except Exception as error:
        log.warning("what was counted could not be handed in: %s", type(error).__name__)


async def _hand_in(session: AsyncSession) -> None:
    await metrics.web_alive(session, process_name(), sockets.open)
    await totals.hand_in(session)


# -- the text -------------------------------------------------------------------------------------


class Exposition:
    """The text of this moment, made anew when it is older than FRESH_SECONDS."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._text, self._made, self._making = b"", -FRESH_SECONDS, asyncio.Lock()

    async def text(self) -> bytes:
        async with self._making:
            if time.monotonic() - self._made >= FRESH_SECONDS:
                async with db.transaction() as session:
                    await _hand_in(session)
                async with db.snapshot() as session:
                    reading = await metrics.read(session, get_settings().worker_lease_seconds)
                    self._text = rendered(self._version, reading)
                self._made = time.monotonic()
        return self._text


class _Families:
    """A reading, as the collector that Prometheus's library wants."""

    def __init__(self, version: str, reading: Reading) -> None:
        self._version, self._reading = version, reading

    def collect(self) -> Iterator[Metric]:
        now = self._reading
        build = GaugeMetricFamily("openlinear_build_info", "The version that answers.", labels=["version"])
        build.add_metric([self._version], 1)
        yield build
        yield GaugeMetricFamily("openlinear_queue_runs", "Runs that wait for a worker.", value=now.queued)
        yield GaugeMetricFamily(
            "openlinear_queue_oldest_seconds",
            "How long the first of the queue waits.",
            value=now.oldest_queued,
        )
        runs = GaugeMetricFamily("openlinear_runs", "Runs that are known, by state.", labels=["state"])
        for state in metrics.STATES:
            runs.add_metric([state], now.runs.get(state, 0))
        yield runs
        workers = GaugeMetricFamily("openlinear_workers", "Engine workers, by state.", labels=["state"])
        for state, count in now.workers.items():
            workers.add_metric([state], count)
        yield workers
        yield GaugeMetricFamily("openlinear_web_processes", "Web processes alive.", value=now.web_processes)
        yield GaugeMetricFamily("openlinear_websockets", "Websockets open now.", value=now.websockets)
        yield from _counted(now)


def _counted(reading: Reading) -> Iterator[Metric]:
    parts: defaultdict[str, defaultdict[str, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    for (name, labels, part), value in reading.totals.items():
        parts[name][labels][part] = value
    for name, kind in COUNTED.items():
        family: CounterMetricFamily | HistogramMetricFamily
        if kind.buckets:
            family = HistogramMetricFamily(name, kind.help, labels=kind.labels)
        else:
            family = CounterMetricFamily(name, kind.help, labels=kind.labels)
        for labels, values in sorted(parts[name].items()):
            given = json.loads(labels)
            texts = [given.get(label, "") for label in kind.labels]
            if isinstance(family, HistogramMetricFamily):
                family.add_metric(texts, _buckets(kind.buckets, values), values.get(SUM, 0.0))
            else:
                family.add_metric(texts, values.get("", 0.0))
        yield family


def _buckets(bounds: tuple[float, ...], values: dict[str, float]) -> list[tuple[str, float]]:
    """Each bucket with all below it, as Prometheus wants them.

    A bound of another version that is no more counts in the next one above it.
    """
    seen = sorted((float(part), count) for part, count in values.items() if part != SUM)
    names = [(repr(float(bound)), float(bound)) for bound in bounds] + [(INFINITE, float("inf"))]
    return [(name, sum(count for part, count in seen if part <= bound)) for name, bound in names]


def rendered(version: str, reading: Reading) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(version, reading))
    return generate_latest(registry)
