"""What agents reach: chosen by their user, held at once, and told in the log where it was refused."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, select

from engine import egress
from engine.client import Engine
from engine.db import Database
from engine.errors import RunError
from engine.models import Run, RunEvent
from engine.ports import Egress
from engine.signals import Signals
from engine.world import World
from openlinear import db
from openlinear.adapters import OpenLinear
from openlinear.services import preferences, providers
from openlinear.services.errors import Invalid
from openlinear.services.views import Actor
from tests.support.engine import new_run, recorder_of
from tests.support.product import Workerless

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
PROJECT = uuid4()

# -- the choice -----------------------------------------------------------------------------------


async def test_a_choice_is_kept_and_read_by_the_engine(ada: Actor) -> None:
    assert await OpenLinear().egress(ada.id) == Egress("listed")
    async with db.transaction() as session:
        patch: Any = {"network": "open", "network_hosts": [" Example.COM", "*.example.org", "example.com"]}
        chosen = await preferences.update_settings(session, ada, patch)
        await providers.connect(session, ada, "anthropic", "a-key")
        await providers.connect(session, ada, "own", "k", base_url="https://m.example.net/v1", models=["m"])
    assert (chosen.network, chosen.network_hosts) == ("open", ("example.com", "*.example.org"))
    assert await OpenLinear().egress(ada.id) == Egress(
        "open", ("example.com", "*.example.org"), ("anthropic", "https://m.example.net/v1")
    )


async def test_the_operators_default_holds_for_whoever_has_not_chosen(
    ada: Actor, monkeypatch: pytest.MonkeyPatch, product: Workerless
) -> None:
    from openlinear.settings import get_settings

    monkeypatch.setenv("EGRESS_DEFAULT", "none")
    get_settings.cache_clear()
    async with db.transaction() as session:
        assert (await preferences.get_settings(session, ada)).network == "none"
        await preferences.update_settings(session, ada, {"parallel_limit": 2})
    assert (await OpenLinear().egress(ada.id)).mode == "none"


@pytest.mark.parametrize(
    ("patch", "field"),
    [
        ({"network": "all"}, "network"),
        ({"network_hosts": ["https://example.com"]}, "networkHosts"),
        ({"network_hosts": ["*.com"]}, "networkHosts"),
        ({"network_hosts": [f"h{number}.example.com" for number in range(101)]}, "networkHosts"),
    ],
)
async def test_what_is_no_policy_is_refused(ada: Actor, patch: Any, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        async with db.transaction() as session:
            await preferences.update_settings(session, ada, patch)
    assert field in caught.value.fields


# -- and the sandbox ------------------------------------------------------------------------------


class Cage:
    """A fake at the Sandbox port, for policies alone."""

    def __init__(self) -> None:
        self.users: set[UUID] = {uuid4()}
        self.told: asyncio.Queue[tuple[UUID, Egress]] = asyncio.Queue()
        self.hosts: dict[str, float] = {}
        self.broken: set[UUID] = set()

    async def found(self) -> dict[UUID, str]:
        return dict.fromkeys(self.users, "running")

    async def allow(self, user_id: UUID, wanted: Egress) -> None:
        if user_id in self.broken:
            raise OSError("its folder cannot be written")
        await self.told.put((user_id, wanted))

    async def refused(self, user_id: UUID) -> Mapping[str, float]:
        return self.hosts


class Chosen:
    def __init__(self) -> None:
        self.egress_of = Egress("listed")
        self.asked = 0

    async def egresses(self, user_ids: list[UUID]) -> dict[UUID, Egress]:
        self.asked += 1
        return dict.fromkeys(user_ids, self.egress_of)


async def test_a_choice_holds_at_once(engine_database: Database, engine_client: Engine) -> None:
    cage, product, signals = Cage(), Chosen(), Signals(engine_database.libpq_url)
    here = cast(World, SimpleNamespace(sandbox=cage, product=product, signals=signals))
    serving = [asyncio.create_task(signals.serve()), asyncio.create_task(egress.serve(here))]
    try:
        async with asyncio.timeout(10):
            (user,) = cage.users
            assert await cage.told.get() == (user, Egress("listed"))
            product.egress_of = Egress("none")
            while True:  # the first look after it has begun to listen may come before or after
                async with engine_database.transaction() as session:
                    await engine_client.egress_changed(session)
                if await cage.told.get() == (user, Egress("none")):
                    break
    finally:
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


async def test_who_cannot_be_told_is_tried_again_and_keeps_nobody_else_from_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(egress, "AGAIN_SECONDS", 0.0)
    cage, product, signals = Cage(), Chosen(), Signals("")
    (first,) = cage.users
    cage.users, cage.broken = {first, uuid4(), uuid4()}, {first}
    here = cast(World, SimpleNamespace(sandbox=cage, product=product, signals=signals))
    serving = asyncio.create_task(egress.serve(here))
    try:
        async with asyncio.timeout(10):
            assert {(await cage.told.get())[0] for _ in range(2)} == cage.users - {first}
            assert product.asked == 1, "one query for all"
            cage.broken = set()
            while (await cage.told.get())[0] != first:
                pass
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def test_hosts_are_not_named_where_they_may_be_another_projects(engine_database: Database) -> None:
    cage, user = Cage(), uuid4()
    here = cast(World, SimpleNamespace(sandbox=cage, database=engine_database))
    cage.hosts = {"internal.example": NOW.timestamp() + 1}

    async def told(ended: datetime | None, **changes: Any) -> list[str]:
        other = Run(**asdict(new_run(user, **changes)), branch="b", started_at=NOW - HOUR, ended_at=ended)
        run = Run(**asdict(new_run(user, project_id=PROJECT)), branch="b", started_at=NOW, ended_at=NOW)
        async with engine_database.transaction() as session:
            session.add_all([other, run])
        async with egress.telling(here, run, recorder_of(engine_database, run.id)):
            pass
        async with engine_database.transaction() as session:
            said = (await session.scalars(select(RunEvent.message).where(RunEvent.run_id == run.id))).all()
            await session.execute(delete(Run).where(Run.id == other.id))
        return [text or "" for text in said]

    named = ["Network: internal.example was refused to your agents. Add it under Settings, Network."]
    assert await told(NOW - HOUR / 2) == named
    assert await told(NOW, project_id=PROJECT) == named
    assert await told(None) == [
        "Network: hosts were refused to your agents meanwhile. See which under Settings, Network."
    ]


async def test_what_was_refused_is_told_once_in_the_runs_log(engine_database: Database) -> None:
    cage = Cage()
    here = cast(World, SimpleNamespace(sandbox=cage, database=engine_database))
    async with engine_database.transaction() as session:
        run = Run(**asdict(new_run(uuid4())), branch="b", started_at=NOW)
        session.add(run)
    recorder = recorder_of(engine_database, run.id)
    cage.hosts = {"before.example": NOW.timestamp() - 5, "npm.example.com": NOW.timestamp() + 1}
    async with egress.telling(here, run, recorder):
        pass
    with pytest.raises(RunError, match="the model"):
        async with egress.telling(here, run, recorder):
            raise RunError("the model is away")
    async with engine_database.transaction() as session:
        said = (await session.scalars(select(RunEvent.message).where(RunEvent.run_id == run.id))).all()
    assert said == ["Network: npm.example.com was refused to your agents. Add it under Settings, Network."]
