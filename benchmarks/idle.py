"""Parts that do nothing, for figures of the engine alone: a sandbox, an agent and a product.

PostgreSQL, DBOS, the worker processes and git on the host are the real ones.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from uuid import UUID

from engine.bootstrap import build
from engine.errors import RunError
from engine.ports import (
    AgentEvent,
    Box,
    BoxState,
    Egress,
    Finished,
    Known,
    ModelRef,
    Product,
    ProviderKey,
    RemoteAccess,
    Report,
    SandboxName,
    Session,
)
from engine.settings import EngineSettings
from engine.world import World

TALK = "talk"
"""A prompt that makes the agent speak, ten times a second, until its worker is gone."""
NOTHING = "nothing"
"""A prompt that it has nothing to say to."""
PIECE_SECONDS = 0.1

USER = UUID(int=1)
PROJECTS = [UUID(int=number) for number in range(1, 11)]


class IdleSandbox:
    """`engine.ports.Sandbox` without an inside: every command succeeds at once."""

    name: SandboxName = "bare"

    def __init__(self, settings: EngineSettings) -> None:
        self._root = settings.openlinear_home / "sandboxes"

    async def check(self) -> str | None:
        return None

    async def allow(self, user_id: UUID, egress: Egress) -> None: ...

    async def refused(self, user_id: UUID) -> dict[str, float]:
        return {}

    async def rest(self) -> None: ...

    async def free_bytes(self) -> int:
        return 1 << 40

    async def ensure(self, user_id: UUID, report: Report) -> Box:
        return Box(user_id, "http://127.0.0.1:9", "", PurePosixPath("/repos"), PurePosixPath("/objects"))

    async def exec(
        self,
        box: Box,
        argv: Sequence[str],
        *,
        cwd: PurePosixPath | None = None,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        stdout: BinaryIO | None = None,
        limit: int = 8 << 20,
        timeout: float = 60.0,
    ) -> Finished:
        """What collecting an untouched workspace says; nobody reads it after other commands."""
        return Finished(0, b"", f"openlinear: head {argv[-1]}\nopenlinear: tree {argv[-1]}\n".encode())

    async def spawn(self, box: Box, name: str, argv: Sequence[str], *, stdin: bytes = b"") -> None: ...

    async def stop_run(self, box: Box, run_id: UUID) -> None: ...

    async def pause(self, user_id: UUID) -> None: ...

    async def remove(self, user_id: UUID) -> None: ...

    async def found(self) -> dict[UUID, BoxState]:
        return {}

    async def holdings(self) -> dict[UUID, int]:
        return {}

    async def forget(self, user_id: UUID) -> None: ...

    async def image_bytes(self) -> int:
        return 0

    async def cause_of_death(self, user_id: UUID) -> RunError | None:
        return None

    def shared_objects(self, user_id: UUID) -> Path:
        return self._root / str(user_id)


class IdleAgent:
    """`engine.ports.Agent` that is at its turn's end at once, or speaks without end."""

    name = "idle"

    def __init__(self) -> None:
        self._talking: set[str] = set()

    async def prepare(
        self, box: Box, directory: PurePosixPath, keys: Sequence[ProviderKey], *, demo: bool
    ) -> None: ...

    async def warm(self, box: Box, directory: PurePosixPath, *, again: bool = False) -> None: ...

    async def open(self, box: Box, directory: PurePosixPath, title: str) -> Session:
        return Session(title, directory)

    async def prompt(
        self,
        box: Box,
        session: Session,
        message_id: str,
        text: str,
        model: ModelRef,
        *,
        follow_up: bool = False,
    ) -> None:
        if text == TALK:
            self._talking.add(session.id)

    async def events(self, box: Box, session: Session, seen: Mapping[str, str]) -> AsyncIterator[AgentEvent]:
        said = int(seen.get("speech", 0))
        while session.id in self._talking:
            yield AgentEvent("text", "speech", str(said), ".")
            said += 1
            await asyncio.sleep(PIECE_SECONDS)
        yield AgentEvent("idle", "turn")

    async def answer(self, box: Box, session: Session, part: str, details: Mapping[str, Any]) -> None: ...

    async def abort(self, box: Box, session: Session) -> None:
        self._talking.discard(session.id)

    async def close(self, box: Box, directory: PurePosixPath) -> None: ...


class IdleProduct:
    """`engine.ports.Product`: every project is a small repository on this machine."""

    async def known(self) -> Known:
        return Known(frozenset([USER]), frozenset(PROJECTS))

    async def kept(self, session: Any, run_id: UUID) -> None: ...

    async def remote(self, project_id: UUID, user_id: UUID) -> RemoteAccess:
        return RemoteAccess(f"demo:{project_id}", None)

    async def provider_keys(self, user_id: UUID) -> Sequence[ProviderKey]:
        return []

    async def waits(self, session: Any, run_id: UUID) -> None: ...

    async def egress(self, user_id: UUID) -> Egress:
        return Egress("listed")

    async def ended(self, session: Any, run_id: UUID) -> None: ...


async def build_idle(settings: EngineSettings, product: Product, worker: str) -> World:
    """As `engine.bootstrap.build`, of parts that do nothing."""
    return await build(settings, product, worker, sandbox=IdleSandbox(settings), agents={"idle": IdleAgent()})
