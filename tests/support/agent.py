"""A fake at the Agent port, for the engine's own logic: it says what a test tells it to say."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from uuid import uuid4

from engine.ports import AgentEvent, Box, ModelRef, ProviderKey, Session


def box() -> Box:
    return Box(uuid4(), "http://127.0.0.1:1", "secret", PurePosixPath("/repos"), PurePosixPath("/objects"))


class ScriptedAgent:
    """Yields `script` in order: events, or seconds to wait. Then it is silent until the test ends."""

    name = "opencode"

    def __init__(self, *script: AgentEvent | float) -> None:
        self.script = script
        self.answered: asyncio.Queue[tuple[str, Mapping[str, Any]]] = asyncio.Queue()
        self.more: asyncio.Queue[AgentEvent] = asyncio.Queue()
        self.seen: Mapping[str, str] = {}

    async def prepare(
        self, box: Box, directory: PurePosixPath, keys: Sequence[ProviderKey], *, demo: bool
    ) -> None: ...

    async def warm(self, box: Box, directory: PurePosixPath) -> None: ...

    async def open(self, box: Box, directory: PurePosixPath, title: str) -> Session:
        return Session("s1", directory)

    async def prompt(
        self,
        box: Box,
        session: Session,
        message_id: str,
        text: str,
        model: ModelRef,
        *,
        follow_up: bool = False,
    ) -> None: ...

    async def events(self, box: Box, session: Session, seen: Mapping[str, str]) -> AsyncIterator[AgentEvent]:
        self.seen = seen
        for item in self.script:
            if isinstance(item, AgentEvent):
                yield item
            else:
                await asyncio.sleep(item)
        while True:
            yield await self.more.get()

    async def answer(self, box: Box, session: Session, part: str, details: Mapping[str, Any]) -> None:
        await self.answered.put((part, details))

    async def abort(self, box: Box, session: Session) -> None: ...

    async def close(self, box: Box, directory: PurePosixPath) -> None: ...
