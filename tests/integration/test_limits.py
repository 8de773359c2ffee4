"""Limits on a real PostgreSQL: who may set which, and which of them a run gets."""

from typing import Any

import httpx
import pytest

from engine.limits import Limits
from engine.models import Run
from openlinear import db
from openlinear.services import execution, limits, preferences, providers, tasks
from openlinear.services.errors import Invalid
from openlinear.services.views import Actor, ProjectView
from tests.integration.test_api import bearer, is_problem
from tests.support.product import MakeActor


async def set_own(actor: Actor, **bounds: Any) -> Limits:
    async with db.transaction() as session:
        return (await preferences.update_settings(session, actor, {"limits": bounds})).limits


async def start(actor: Actor, project: ProjectView, task: dict[str, Any], run: dict[str, Any]) -> Limits:
    """What the run of a task with these limits got."""
    async with db.transaction() as session:
        wanted = tasks.TaskInput(project.id, "Do it", limits=task)
        made = await tasks.create_task(session, actor, wanted)
        run_id = await execution.execute(session, actor, made.id, run)
    async with db.transaction() as session:
        return Limits(**(await session.get_one(Run, run_id)).limits)


@pytest.fixture(autouse=True)
async def a_model(ada: Actor) -> None:
    async with db.transaction() as session:
        await providers.connect(session, ada, "anthropic", "sk-test-1")


async def test_a_runs_own_limit_takes_the_place_of_its_tasks(ada: Actor, project: ProjectView) -> None:
    task = {"dollars": 1.0, "tokens": 1000, "attempts": 2}
    got = await start(ada, project, task, {"dollars": 5.0, "tokens": None})
    assert got == Limits(dollars=5.0, attempts=2)


async def test_nothing_goes_above_the_users_own(ada: Actor, project: ProjectView) -> None:
    await set_own(ada, dollars=2.0, attempts=3)
    assert await start(ada, project, {"dollars": 10.0}, {}) == Limits(dollars=2.0, attempts=3)
    assert await start(ada, project, {"dollars": 0.5}, {"dollars": 9.0}) == Limits(dollars=2.0, attempts=3)
    assert await start(ada, project, {"dollars": 0.5}, {}) == Limits(dollars=0.5, attempts=3)


async def test_one_persons_limits_are_not_anothers(
    ada: Actor, project: ProjectView, make_actor: MakeActor
) -> None:
    await set_own(await make_actor("Grace Hopper"), tokens=10)
    assert await start(ada, project, {}, {}) == Limits()


async def test_a_limit_stays_until_it_is_taken_away(ada: Actor) -> None:
    await set_own(ada, dollars=2.0)
    assert await set_own(ada, tokens=500) == Limits(dollars=2.0, tokens=500)
    assert await set_own(ada, dollars=None) == Limits(tokens=500)
    async with db.transaction() as session:
        changed = await preferences.update_settings(session, ada, {"parallel_limit": 5})
        assert changed.limits == Limits(tokens=500)
        assert (await limits.above_tasks(session, ada)).tokens == 500


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"tokens": 0}, "limits.tokens"),
        ({"tokens": 1.5}, "limits.tokens"),
        ({"dollars": -1.0}, "limits.dollars"),
        ({"dollars": float("nan")}, "limits.dollars"),
        ({"wall_seconds": float("inf")}, "limits.wallSeconds"),
        ({"idle_seconds": 10**9}, "limits.idleSeconds"),
        ({"attempts": True}, "limits.attempts"),
        ({"colour": 1}, "limits.colour"),
    ],
)
async def test_what_is_no_limit_is_refused_by_name(
    ada: Actor, project: ProjectView, wrong: dict[str, Any], field: str
) -> None:
    for refused in (set_own(ada, **wrong), start(ada, project, wrong, {}), start(ada, project, {}, wrong)):
        with pytest.raises(Invalid) as caught:
            await refused
        assert list(caught.value.fields) == [field]


async def test_limits_over_http(api: httpx.AsyncClient, ada: Actor, project: ProjectView) -> None:
    api.headers.update(await bearer(ada))
    none = dict.fromkeys(("wallSeconds", "idleSeconds", "tokens", "dollars", "attempts"))

    settings = (await api.patch("/api/settings", json={"limits": {"wallSeconds": 600}})).json()
    assert settings["limits"] == {**none, "wallSeconds": 600}
    body = {"projectId": str(project.id), "title": "Do it", "limits": {"tokens": 900, "dollars": 0.5}}
    task = (await api.post("/api/tasks", json=body)).json()
    assert task["limits"] == {**none, "tokens": 900, "dollars": 0.5}
    path = f"/api/tasks/{task['id']}"
    task = (await api.patch(path, json={"limits": {"dollars": None}})).json()
    assert task["limits"] == {**none, "tokens": 900}

    started = await api.post(f"{path}/execute", json={"limits": {"tokens": 100, "attempts": 1}})
    assert started.status_code == 202
    run = (await api.get(path)).json()["execution"]
    assert (run["attempt"], run["errorKind"]) == (1, None)
    assert run["limits"] == {"wallSeconds": 600, "idleSeconds": 300, "tokens": 100, "dollars": None} | {
        "attempts": 1
    }

    for wrong in ({"tokens": "many"}, {"tokens": 0}, {"unknown": 1}, {"dollars": True}):
        is_problem(await api.patch(path, json={"limits": wrong}), 422)
        is_problem(await api.patch("/api/settings", json={"limits": wrong}), 422)
        is_problem(await api.post(f"{path}/execute", json={"limits": wrong}), 422)
