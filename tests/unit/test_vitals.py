"""What is said of the engine's health, and who is told when."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.client import Health
from openlinear import vitals
from openlinear.vitals import Monitor, Vitals, said

WELL, AWAY = Health(1, "docker", None), Health(0, "", None)


@pytest.mark.parametrize(
    ("health", "trouble", "hint"),
    [
        (WELL, "", ""),
        (AWAY, "No engine is running, so tasks wait in the queue. Start one with `openlinear up`.", ""),
        (Health(1, "docker", "Start Docker."), "Start Docker.", ""),
        (Health(1, "process", None), "", "without a container"),
    ],
)
def test_one_line_at_most(health: Health, trouble: str, hint: str) -> None:
    line = said(health)
    assert line.trouble.startswith(trouble) and bool(line.trouble) == bool(trouble)
    assert hint in line.hint and bool(line.hint) == bool(hint)


async def test_browsers_are_told_of_changes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([WELL, WELL, AWAY, AWAY, WELL])
    over = asyncio.Event()

    async def health(session: Any) -> Health:
        now = next(looks, None)
        if now is None:
            over.set()
        return now or WELL

    class Transaction:
        async def __aenter__(self) -> None: ...
        async def __aexit__(self, *error: object) -> None: ...

    told: list[Vitals] = []

    async def tell(now: Vitals) -> None:
        told.append(now)

    monkeypatch.setattr(vitals, "engine_client", lambda: SimpleNamespace(health=health))
    monkeypatch.setattr(vitals, "db", cast(Any, SimpleNamespace(transaction=Transaction)))
    monkeypatch.setattr(vitals, "LOOK_EVERY", 0)
    monitor = Monitor()
    monitor.tell = tell
    watching = asyncio.create_task(monitor.watch())
    await asyncio.wait_for(over.wait(), 5)
    watching.cancel()
    assert [bool(one.trouble) for one in told] == [True, False]
