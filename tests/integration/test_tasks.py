"""Tasks on a real PostgreSQL: made, found, changed, moved, executed."""

import asyncio
import itertools
from datetime import date
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from engine.models import Ask, Run, now
from openlinear import db
from openlinear.adapters import product as engine_side
from openlinear.models import Change, Task
from openlinear.services import (
    boards,
    execution,
    labels,
    paging,
    preferences,
    providers,
    ranks,
    tasks,
)
from openlinear.services.errors import Conflict, Forbidden, Invalid, NotFound
from openlinear.services.tasks import TaskFilter, TaskInput, TaskPatch
from openlinear.services.views import Actor, ProjectView, TaskView
from tests.integration.permissions.evidence import asked
from tests.support.product import MakeActor, Workerless


async def make(actor: Actor, project: ProjectView, title: str = "Do it", **more: object) -> TaskView:
    async with db.transaction() as session:
        return await tasks.create_task(session, actor, TaskInput(project.id, title, **more))  # type: ignore[arg-type]


async def change(actor: Actor, task_id: UUID, patch: TaskPatch) -> TaskView:
    async with db.transaction() as session:
        return await tasks.update_task(session, actor, task_id, patch)


async def column(actor: Actor, project: ProjectView, status: str = "todo") -> list[str]:
    async with db.transaction() as session:
        return [card.title for card in (await boards.board(session, actor, project.id)).columns[status]]


async def execute(actor: Actor, task_id: UUID) -> UUID:
    async with db.transaction() as session:
        return await execution.execute(session, actor, task_id)


async def connect(actor: Actor) -> None:
    async with db.transaction() as session:
        await providers.connect(session, actor, "anthropic", "sk-test-1")


async def end(run_id: UUID, status: str) -> None:
    """What the engine does at a run's end."""
    async with db.transaction() as session:
        run = await session.get_one(Run, run_id)
        run.status, run.ended_at = status, now()
        await session.flush()
        await engine_side().ended(session, run_id)


async def test_a_task_keeps_what_it_was_given(ada: Actor, project: ProjectView) -> None:
    async with db.transaction() as session:
        bug = await labels.create_label(session, ada, "Bug", "red")
        ui = await labels.create_label(session, ada, "UI")
    made = await make(
        ada,
        project,
        "<b>Fix</b>\tthe\x07 total\n",
        description="Line\r\nline\x1b[31m",
        priority="high",
        labels=(str(bug.id), "ui"),
        due_date=date(2030, 1, 2),
        model="anthropic/some-model",
    )
    assert (made.identifier, made.title) == ("CART-1", "<b>Fix</b> the total")
    assert made.description == "Line\nline[31m"
    assert made.labels == (bug, ui)
    assert (made.status, made.priority, made.due_date) == ("todo", "high", date(2030, 1, 2))
    assert (made.agent, made.model, made.created_by) == ("opencode", "anthropic/some-model", "Ada Lovelace")
    async with db.transaction() as session:
        assert await tasks.task(session, ada, made.id) == made


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("title", {"title": "x" * 10_000}),
        ("title", {"title": " \n"}),
        ("title", {"title": "nul\0"}),
        ("title", {"title": "half \ud83d"}),
        ("description", {"description": "x" * 100_001}),
        ("priority", {"priority": "highest"}),
        ("agent", {"agent": "nobody"}),
        ("model", {"model": "no-slash"}),
        ("labels", {"labels": ("unknown",)}),
    ],
)
async def test_what_a_task_cannot_be_names_its_field(
    ada: Actor, project: ProjectView, field: str, values: dict[str, object]
) -> None:
    with pytest.raises(Invalid) as refused:
        await make(ada, project, **{"title": "Do it", **values})  # type: ignore[arg-type]
    assert set(refused.value.fields) == {field}


async def test_numbers_are_given_once_even_in_a_crowd(ada: Actor, project: ProjectView) -> None:
    made = await asyncio.gather(*(make(ada, project) for _ in range(12)))
    assert sorted(int(task.identifier.split("-")[1]) for task in made) == list(range(1, 13))


async def test_a_change_is_counted_and_told(ada: Actor, project: ProjectView) -> None:
    made = await make(ada, project)
    changed = await change(ada, made.id, {"title": "Other", "status": "done"})
    assert (changed.title, changed.status) == ("Other", "done")
    assert changed.version > made.version
    async with db.transaction() as session:
        await tasks.delete_task(session, ada, made.id)
    async with db.transaction() as session:
        query = select(Change.kind).where(Change.task_id == made.id).order_by(Change.id)
        assert list(await session.scalars(query)) == ["task:created", "task:updated", "task:deleted"]
        with pytest.raises(NotFound):
            await tasks.task(session, ada, made.id)


async def test_cards_go_where_they_are_put(ada: Actor, project: ProjectView) -> None:
    a, b, c = [await make(ada, project, title) for title in "abc"]
    assert await column(ada, project) == ["c", "b", "a"]

    async def move(card: TaskView, status: str, before: TaskView | None, after: TaskView | None) -> None:
        async with db.transaction() as session:
            ids = [other.id if other else None for other in (before, after)]
            await tasks.move_task(session, ada, card.id, status, before=ids[0], after=ids[1])

    await move(c, "todo", b, a)
    assert await column(ada, project) == ["b", "c", "a"]
    await move(a, "todo", None, b)
    assert await column(ada, project) == ["a", "b", "c"]
    await move(a, "todo", c, None)
    assert await column(ada, project) == ["b", "c", "a"]
    await move(c, "done", None, None)
    assert (await column(ada, project), await column(ada, project, "done")) == (["b", "a"], ["c"])
    await move(b, "done", a, None)  # its neighbour has left that column
    assert await column(ada, project, "done") == ["b", "c"]


async def test_a_column_is_numbered_anew_before_places_run_out(ada: Actor, project: ProjectView) -> None:
    first, second = await make(ada, project, "first"), await make(ada, project, "second")
    expected = ["second", "first"]
    for number in range(40):
        card = await make(ada, project, f"card {number}")
        async with db.transaction() as session:
            await tasks.move_task(session, ada, card.id, "todo", before=second.id, after=first.id)
        expected.insert(1, card.title)
    assert await column(ada, project) == expected
    async with db.transaction() as session:
        found = sorted(await session.scalars(select(Task.rank).where(Task.project_id == project.id)))
    assert min(b - a for a, b in itertools.pairwise(found)) > ranks.CLOSEST / 4


async def test_lists_are_filtered_and_paged(ada: Actor, project: ProjectView) -> None:
    async with db.transaction() as session:
        await labels.create_label(session, ada, "Bug")
    made = [await make(ada, project, f"Task {n}", labels=("bug",) if n % 2 else ()) for n in range(5)]
    await change(ada, made[0].id, {"status": "done"})
    await change(ada, made[1].id, {"archived": True})

    async def titles(wanted: TaskFilter, limit: int = 2) -> list[str]:
        found, cursor = [], None
        while True:
            async with db.transaction() as session:
                page = await tasks.list_tasks(session, ada, wanted, limit=limit, cursor=cursor)
            assert len(page.items) <= limit
            found += [task.title for task in page.items]
            cursor = page.next_cursor
            if cursor is None:
                return found

    assert await titles(TaskFilter()) == ["Task 4", "Task 3", "Task 2", "Task 0"]
    assert await titles(TaskFilter(project_id=project.id, status="done")) == ["Task 0"]
    assert await titles(TaskFilter(label="BUG")) == ["Task 3"]
    assert await titles(TaskFilter(archived=True)) == ["Task 1"]
    assert await titles(TaskFilter(q="task 2")) == ["Task 2"]
    assert await titles(TaskFilter(q="cart-3")) == ["Task 2"]
    assert await titles(TaskFilter(q="%")) == []
    with pytest.raises(NotFound):
        await titles(TaskFilter(project_id=uuid4()))
    for cursor in ("", "x", "é", "W10", "WyJhIiwgImIiXQ", "bnVsbA"):
        with pytest.raises(Invalid) as refused:
            async with db.transaction() as session:
                await tasks.list_tasks(session, ada, TaskFilter(), cursor=cursor)
        assert set(refused.value.fields) == {"cursor"}


async def test_a_board_takes_as_many_queries_for_many_cards_as_for_few(
    ada: Actor, project: ProjectView
) -> None:
    async with db.transaction() as session:
        await labels.create_label(session, ada, "Bug")
    counts: list[int] = []
    for _ in range(2):
        for _ in range(4):
            await make(ada, project, labels=("bug",), description="long text")
        with asked() as statements:
            async with db.transaction() as session:
                board = await boards.board(session, ada, project.id)
        counts.append(len(statements))
    assert counts[0] == counts[1] < 20
    assert board.counts == {"todo": 8, "in_progress": 0, "done": 0, "cancelled": 0}
    assert {card.description for card in board.columns["todo"]} == {""}


async def test_a_finished_column_comes_in_pages(ada: Actor, project: ProjectView) -> None:
    made = [await make(ada, project, f"Task {n}") for n in range(5)]
    for card in made:
        await change(ada, card.id, {"status": "done", "order": 7.25})  # the same place: the id decides
    by_id = [card.title for card in sorted(made, key=lambda card: card.id)]
    async with db.transaction() as session:
        whole = await boards.board(session, ada, project.id)
        assert [card.title for card in whole.columns["done"]] == by_id
        assert whole.cursors["done"] is None
        start = paging.encode(["-100.0", str(made[0].id)])
        first = await boards.older(session, ada, project.id, "done", start, limit=3)
        assert first.next_cursor is not None
        second = await boards.older(session, ada, project.id, "done", first.next_cursor, limit=3)
    assert [card.title for card in (*first.items, *second.items)] == by_id
    assert second.next_cursor is None
    for status, cursor in (("todo", start), ("done", "x"), ("done", paging.encode(["nan", str(made[0].id)]))):
        with pytest.raises(Invalid):
            async with db.transaction() as session:
                await boards.older(session, ada, project.id, status, cursor)


async def test_execute_hands_the_engine_the_task_and_moves_the_card(
    product: Workerless, ada: Actor, project: ProjectView
) -> None:
    await connect(ada)
    async with db.transaction() as session:
        await labels.create_label(session, ada, "Bug")
    made = await make(ada, project, "Fix it", description="Because.", labels=("Bug",))
    run_id = await execute(ada, made.id)
    async with db.transaction() as session:
        run = await session.get_one(Run, run_id)
        assert run.prompt == "Fix it\n\nBecause.\n\nLabels: Bug"
        assert (run.author_name, run.author_email) == (ada.name, ada.email)
        assert (run.base_branch, run.user_id, run.project_id) == ("main", ada.id, project.id)
        assert run.model.startswith("anthropic/")
        board = await boards.board(session, ada, project.id)
        (card,) = board.columns["in_progress"]
        assert card.execution is not None
        assert (card.execution.run_id, card.execution.status) == (run_id, "queued")
        assert card.version > made.version
        assert board.running == 1
    with pytest.raises(Conflict, match="running already"):
        await execute(ada, made.id)
    async with db.transaction() as session:
        with pytest.raises(Conflict):
            await tasks.delete_task(session, ada, made.id)


async def test_without_a_model_provider_execute_says_what_to_do(ada: Actor, project: ProjectView) -> None:
    made = await make(ada, project)
    with pytest.raises(Conflict, match="Connect a model provider under Settings first"):
        await execute(ada, made.id)
    demo_model = await make(ada, project, model="demo/demo-1")
    with pytest.raises(Conflict, match="demo project"):
        await execute(ada, demo_model.id)
    other = await make(ada, project, model="openai/gpt-5-mini")
    await connect(ada)
    with pytest.raises(Conflict, match='"openai"'):
        await execute(ada, other.id)


async def test_the_parallel_limit_holds_against_a_crowd(ada: Actor, project: ProjectView) -> None:
    await connect(ada)
    async with db.transaction() as session:
        await preferences.update_settings(session, ada, {"parallel_limit": 2})
    made = [await make(ada, project, f"Task {n}") for n in range(8)]
    answers = await asyncio.gather(*(execute(ada, task.id) for task in made), return_exceptions=True)
    assert sum(isinstance(answer, UUID) for answer in answers) == 2
    refused = [answer for answer in answers if not isinstance(answer, UUID)]
    assert all(isinstance(answer, Conflict) and "2 of your tasks" in str(answer) for answer in refused)
    assert len(await column(ada, project, "in_progress")) == 2


@pytest.mark.parametrize(
    ("status", "lands"), [("done", "done"), ("cancelled", "cancelled"), ("failed", "in_progress")]
)
async def test_an_ended_run_puts_its_card_where_it_belongs(
    ada: Actor, project: ProjectView, status: str, lands: str
) -> None:
    await connect(ada)
    made = await make(ada, project)
    run_id = await execute(ada, made.id)
    async with db.transaction() as session:
        before = (await tasks.task(session, ada, made.id)).version
    await end(run_id, status)
    async with db.transaction() as session:
        card = await tasks.task(session, ada, made.id)
    assert card.status == lands
    assert card.version > before


async def test_ends_and_executes_at_once_do_not_block_each_other(ada: Actor, project: ProjectView) -> None:
    await connect(ada)
    made = await make(ada, project)
    for _ in range(5):
        run_id = await execute(ada, made.id)
        results = await asyncio.gather(
            end(run_id, "done"),
            change(ada, made.id, {"title": "Other"}),
            execute(ada, made.id),
            return_exceptions=True,
        )
        assert results[0] is None
        assert isinstance(results[1], TaskView)
        assert isinstance(results[2], UUID | Conflict)
        if isinstance(results[2], UUID):
            await end(results[2], "done")


async def test_cancel_is_for_what_runs_and_for_who_runs_it(
    product: Workerless, ada: Actor, project: ProjectView, make_actor: MakeActor
) -> None:
    await connect(ada)
    made = await make(ada, project)
    async with db.transaction() as session:
        with pytest.raises(Conflict, match="Nothing runs"):
            await execution.cancel(session, ada, made.id)
    run_id = await execute(ada, made.id)
    async with db.transaction() as session:
        (await session.get_one(Run, run_id)).user_id = (await make_actor("Bo")).id
    async with db.transaction() as session:
        with pytest.raises(Forbidden):
            await execution.cancel(session, ada, made.id)
        (await session.get_one(Run, run_id)).user_id = ada.id
        await execution.cancel(session, ada, made.id)
        assert (await session.get_one(Run, run_id)).cancel_requested_at is not None


async def test_asks_are_shown_and_answered_once(ada: Actor, project: ProjectView) -> None:
    await connect(ada)
    made = await make(ada, project)
    run_id = await execute(ada, made.id)
    question = {"questions": [{"question": "Which?", "options": [{"label": "A", "description": "first"}]}]}
    async with db.transaction() as session:
        session.add(Ask(run_id=run_id, part="p1", kind="permission", text="May it?", details={}))
        await session.flush()
        session.add(Ask(run_id=run_id, part="p2", kind="question", text="Which?", details=question))
    async with db.transaction() as session:
        may, which = await execution.asks(session, ada, made.id)
        assert [option.label for option in which.options] == ["A"]
        for ask, wrong in ((may, {"reply": "yes"}), (which, {"answers": ["A"]}), (which, {"answers": []})):
            with pytest.raises(Invalid):
                await execution.answer(session, ada, made.id, ask.id, wrong)
        with pytest.raises(NotFound):
            await execution.answer(session, ada, made.id, uuid4(), {"reply": "once"})
        await execution.answer(session, ada, made.id, may.id, {"reply": "once"})
        await execution.answer(session, ada, made.id, which.id, {"answers": [["A"]]})
        assert await execution.asks(session, ada, made.id) == []
        with pytest.raises(Conflict):
            await execution.answer(session, ada, made.id, may.id, {"reply": "once"})


async def test_a_stranger_finds_no_task(ada: Actor, project: ProjectView, make_actor: MakeActor) -> None:
    made, stranger = await make(ada, project), await make_actor("Bo")
    async with db.transaction() as session:
        for attempt in (
            tasks.task(session, stranger, made.id),
            boards.board(session, stranger, project.id),
            boards.older(session, stranger, project.id, "done", paging.encode(["0.0", str(made.id)])),
            boards.counts(session, stranger, project.id),
            tasks.update_task(session, stranger, made.id, {"title": "Mine"}),
            tasks.move_task(session, stranger, made.id, "done"),
            tasks.delete_task(session, stranger, made.id),
            tasks.create_task(session, stranger, TaskInput(project.id, "Mine")),
            execution.execute(session, stranger, made.id),
            execution.cancel(session, stranger, made.id),
            execution.log(session, stranger, made.id),
            execution.diff(session, stranger, made.id),
            execution.asks(session, stranger, made.id),
            execution.answer(session, stranger, made.id, uuid4(), {}),
        ):
            with pytest.raises(NotFound):
                await attempt
        assert (await tasks.list_tasks(session, stranger, TaskFilter())).items == ()
