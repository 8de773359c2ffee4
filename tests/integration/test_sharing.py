"""Who may run agents where nothing but the server's own processes holds them."""

import pytest

from engine.models import Worker
from openlinear import db
from openlinear.services import demo, execution
from openlinear.services.errors import Conflict
from openlinear.services.views import Actor
from openlinear.settings import get_settings
from tests.support.product import MakeActor


async def lives(sandbox: str) -> None:
    async with db.transaction() as session:
        await session.merge(Worker(id="here", name="main", version="1", sandbox=sandbox))


async def execute(actor: Actor, card: int) -> None:
    async with db.transaction() as session:
        _, cards = await demo.create_demo(session, actor)
        await execution.execute(session, actor, cards[card].id)


@pytest.mark.parametrize("sandbox", ["process", "bare"])
async def test_people_share_the_server_only_where_somebody_chose_that(
    ada: Actor, make_actor: MakeActor, monkeypatch: pytest.MonkeyPatch, sandbox: str
) -> None:
    await lives(sandbox)
    await execute(ada, 0)  # one person's own machine
    second = await make_actor("Bo")
    for actor in (ada, second):
        with pytest.raises(Conflict, match=r"2 accounts.*SANDBOX=process"):
            await execute(actor, 1)
    monkeypatch.setenv("SANDBOX", "process")
    get_settings.cache_clear()
    await execute(second, 1)


async def test_containers_are_for_everybody(ada: Actor, make_actor: MakeActor) -> None:
    await lives("docker")
    for actor in (ada, await make_actor("Bo")):
        await execute(actor, 0)
