"""How often somebody may ask: a bucket of tokens for each login, and one for each address.

Kept in this process's memory, so that a refusal costs nothing; with several web processes each counts for
itself. (The ready-made in-memory stores walk all callers at every request.) Logins have a limit of their
own that holds across processes: `services/throttle.py`.
"""

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openlinear.api.problems import Problem
from openlinear.services.logins import COOKIE
from openlinear.services.throttle import network
from openlinear.settings import get_settings

WINDOW = 60.0
"""Seconds in which an empty bucket fills up."""
CALLERS = 50_000
"""Buckets in memory at most; those that nobody used for longest are full again, and go first."""


@dataclass(slots=True)
class Bucket:
    left: float
    at: float


@dataclass(frozen=True, slots=True)
class Standing:
    """How a caller stands after asking."""

    policy: str
    quota: int
    left: int
    wait: int
    """Seconds until it may ask again; 0 when it may now."""


class Buckets:
    """Token buckets of one size, each named by a key."""

    def __init__(self, policy: str, quota: int) -> None:
        self._policy, self._quota = policy, quota
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, key: str, at: float) -> Standing:
        """Take a token, if there is one. `at` is in seconds of a clock that never goes back."""
        bucket = self._buckets.pop(key, None) or Bucket(self._quota, at)
        rate = self._quota / WINDOW
        bucket.left = min(self._quota, bucket.left + (at - bucket.at) * rate)
        bucket.at = at
        granted = bucket.left >= 1
        bucket.left -= granted
        self._buckets[key] = bucket
        while len(self._buckets) > CALLERS:
            self._buckets.popitem(last=False)
        wait = 0 if granted else math.ceil((1 - bucket.left) / rate)
        return Standing(self._policy, self._quota, int(bucket.left), wait)


class RateLimit:
    """Answers 429 under /api to who asks too often; says to everybody else how much is left."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        settings = get_settings()
        self._logins = Buckets("login", settings.requests_per_minute)
        self._addresses = Buckets("address", settings.requests_per_minute_per_address)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/api/"):
            await self._app(scope, receive, send)
            return
        standing = min(self._ask(scope), key=lambda one: (one.wait == 0, one.left / one.quota))
        headers = {
            "RateLimit-Policy": f'"{standing.policy}";q={standing.quota};w={WINDOW:.0f}',
            "RateLimit": f'"{standing.policy}";r={standing.left};t={standing.wait}',
        }
        if standing.wait:
            said = f"Too many requests. Try again in {standing.wait} seconds."
            refusal = Problem(429, said, headers={**headers, "Retry-After": str(standing.wait)})
            await refusal(scope, receive, send)
            return

        async def telling(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(headers)
            await send(message)

        await self._app(scope, receive, telling)

    def _ask(self, scope: Scope) -> Iterator[Standing]:
        """By the address first: who is refused there does not use up the login's."""
        at = time.monotonic()
        client = scope.get("client")
        yield (by_address := self._addresses.take(network(client[0] if client else ""), at))
        token = _token(Request(scope))
        if token and not by_address.wait:
            yield self._logins.take(hashlib.sha256(token.encode()).hexdigest(), at)


def _token(request: Request) -> str:
    return request.headers.get("authorization") or request.cookies.get(COOKIE, "")
