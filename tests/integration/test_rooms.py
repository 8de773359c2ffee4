"""What a project's room is sent of what changed there: all at once, and to each what they may see."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from openlinear import db
from openlinear.live import Read
from openlinear.livecards import batches_of, cards_of
from openlinear.services import batches, providers, tasks
from openlinear.services.feed import News
from openlinear.services.tasks import TaskInput
from openlinear.services.views import Actor, ProjectView, TaskView
from tests.integration.permissions.evidence import asked
from tests.support.product import MakeActor


async def make(actor: Actor, project: ProjectView) -> TaskView:
    async with db.transaction() as session:
        return await tasks.create_task(session, actor, TaskInput(project.id, "Do it", "long text"))


async def test_a_room_is_told_of_many_cards_by_as_many_queries_as_of_one(
    ada: Actor, project: ProjectView, make_actor: MakeActor
) -> None:
    cards = [await make(ada, project) for _ in range(4)]
    first, archived, deleted, last = cards
    async with db.transaction() as session:
        await tasks.update_task(session, ada, archived.id, {"archived": True})
        await tasks.delete_task(session, ada, deleted.id)
    one, few = await told(cards_of, ada, project, [first.id])
    assert one[f"c:{first.id}"]["title"] == "Do it"
    all_of_them, many = await told(cards_of, ada, project, [card.id for card in cards])
    assert many == few < 10
    gone = {card.id: all_of_them[f"c:{card.id}"].get("gone", False) for card in cards}
    assert gone == {first.id: False, archived.id: True, deleted.id: True, last.id: False}
    nothing, _ = await told(cards_of, await make_actor("Bo"), project, [first.id])
    assert nothing == {f"c:{first.id}": {"n": 1, "project": str(project.id), "gone": True}}


async def test_a_room_is_told_of_many_batches_by_as_many_queries_as_of_one(
    ada: Actor, project: ProjectView, make_actor: MakeActor
) -> None:
    cards = [await make(ada, project) for _ in range(3)]
    async with db.transaction() as session:
        await providers.connect(session, ada, "anthropic", "sk-test-1")
        wanted = (batches.BatchInput([card.id], "queue") for card in cards)
        ids = [(await batches.create(session, ada, one)).id for one in wanted]
    _, few = await told(batches_of, ada, project, ids[:1])
    lines, many = await told(batches_of, ada, project, [*ids, uuid4()])
    assert set(lines) == {f"b:{one}" for one in ids} and many == few < 6
    assert await told(batches_of, await make_actor("Bo"), project, ids) == ({}, few - 1)


async def told(
    read: Read, actor: Actor, project: ProjectView, ids: Sequence[UUID]
) -> tuple[dict[str, Any], int]:
    """What a room is sent of these, which have changed just now, and how many queries that took."""
    changed = {one: News(1, "", project.id, None, None, {}, frozenset()) for one in ids}
    with asked() as statements:
        async with db.transaction() as session:
            values = await read(session, actor, project.id, changed)
    return values, len(statements)
