"""What a check says, and what it stands on."""

import asyncio
import json
import os
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

from sqlalchemy import NullPool
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear.embedded import EmbeddedPostgres
from openlinear.settings import Settings

Level = Literal["ok", "warning", "error"]
CONNECT_SECONDS = 4
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Finding:
    """`text` is one sentence; `cure` what to do, empty where all is well. Neither holds a secret."""

    level: Level
    name: str
    text: str
    cure: str = ""


def fine(name: str, text: str) -> Finding:
    return Finding("ok", name, text)


def warn(name: str, text: str, cure: str) -> Finding:
    """Works, but not as it should; or does not run, and nobody needs it to."""
    return Finding("warning", name, text, cure)


def wrong(name: str, text: str, cure: str) -> Finding:
    return Finding("error", name, text, cure)


class Away(Exception):
    """The database does not answer: one check says so, those that need it say nothing."""


class Ground:
    """The installation that is looked at."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.home: Path = settings.openlinear_home.expanduser().absolute()
        self.settings = settings.model_copy(update={"openlinear_home": self.home})
        self._asked: dict[Any, asyncio.Future[Any]] = {}

    @cached_property
    def embedded(self) -> EmbeddedPostgres | None:
        """The database of our own, where no other is named."""
        return None if self.settings.database_url else EmbeddedPostgres(self.home)

    @property
    def url(self) -> str:
        return self.settings.database_url or (self.embedded.url if self.embedded else "")

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """A transaction that is never committed. Away where the database does not answer or has no tables."""
        try:
            pool = create_async_engine(
                self.url, poolclass=NullPool, connect_args={"connect_timeout": CONNECT_SECONDS}
            )
            try:
                async with AsyncSession(pool) as session:
                    yield session
            finally:
                await pool.dispose()
        except (SQLAlchemyError, OSError) as error:
            raise Away from error

    async def health(self) -> dict[str, Any] | int | None:
        """What answers on our port: OpenLinear's own health, another's status, or None for nothing."""
        return await self.once(Ground._health)

    async def once(self, ask: "Callable[[Ground], Coroutine[Any, Any, T]]") -> T:
        """What `ask` finds out, asked once for all checks that need it."""
        if ask not in self._asked:
            self._asked[ask] = asyncio.ensure_future(ask(self))
        answer: T = await asyncio.shield(self._asked[ask])
        return answer

    async def _health(self) -> dict[str, Any] | int | None:
        return await asyncio.to_thread(self._ask)

    async def serving(self) -> bool:
        return isinstance(await self.health(), dict)

    def _ask(self) -> dict[str, Any] | int | None:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.settings.api_host, self.settings.api_host)  # noqa: S104
        shown = f"[{host}]" if ":" in host else host
        # To this machine: never through a proxy.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"http://{shown}:{self.settings.api_port}/health", timeout=3) as answer:
                return _ours(answer.read(4096), answer.status)
        except urllib.error.HTTPError as error:
            return _ours(error.read(4096), error.code)
        except (OSError, ValueError):
            return None


def _ours(body: bytes, status: int) -> dict[str, Any] | int:
    try:
        said = json.loads(body)
    except ValueError:
        return status
    return said if isinstance(said, dict) and {"version", "engine", "sandbox"} <= set(said) else status


Check = Callable[[Ground], Awaitable[Finding | None]]
"""None: there is nothing to say here."""


def secret(name: str) -> str:
    """A key as the environment gives it."""
    return os.environ.get(name, "")
