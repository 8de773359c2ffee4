"""Labels and their names, which are taken once."""

from uuid import UUID

import pytest
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear import db
from openlinear.services import feed, labels, tasks
from openlinear.services.errors import Conflict
from openlinear.services.views import Actor, ProjectView, TaskView


async def test_a_name_that_is_taken_is_refused_in_making_and_in_renaming(ada: Actor) -> None:
    async with db.transaction() as session:
        await labels.create_label(session, ada, "Bug", "red")
        other = await labels.create_label(session, ada, "Chore")
    async with db.transaction() as session:
        with pytest.raises(Conflict, match='"BUG" already'):
            await labels.create_label(session, ada, "BUG")
        with pytest.raises(Conflict, match='"bug" already'):
            await labels.update_label(session, ada, other.id, name="bug")
        assert [one.name for one in await labels.list_labels(session, ada)] == ["Bug", "Chore"]


async def test_a_change_of_a_label_is_told_of_its_tasks_or_of_very_many_tasks_projects(
    ada: Actor, project: ProjectView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labels, "MOST_TOLD", 2)
    async with db.transaction() as session:
        bug = await labels.create_label(session, ada, "Bug", "red")
        wearing = [await _card(session, ada, project, "Bug") for _ in range(2)]
        await _card(session, ada, project)
    async with db.transaction() as session:
        await labels.update_label(session, ada, bug.id, name="Bug", color="red")
    assert await _told() == [], "nothing changed"
    async with db.transaction() as session:
        await labels.update_label(session, ada, bug.id, color="blue")
    each = [("task:updated", card.id) for card in sorted(wearing, key=lambda card: card.id)]
    assert await _told() == each
    async with db.transaction() as session:
        await _card(session, ada, project, "Bug")
    async with db.transaction() as session:
        await labels.update_label(session, ada, bug.id, name="Fault")
        await labels.delete_label(session, ada, bug.id)
    assert await _told() == [("project:updated", None)] * 2


async def _card(session: AsyncSession, ada: Actor, project: ProjectView, *worn: str) -> TaskView:
    return await tasks.create_task(session, ada, tasks.TaskInput(project.id, "Fix", labels=worn))


async def _told() -> list[tuple[str, UUID | None]]:
    """What was told since the last card was made."""
    async with db.snapshot() as session:
        told = [(item.kind, item.task_id) for item in await feed.news(session, 0)]
    last = max(index for index, (kind, _) in enumerate(told) if kind == "task:created")
    return told[last + 1 :]
