"""Batches on real parts: many cards, one pull request, and what does not fit into it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.support.aftermath import assert_freed
from tests.support.batches import (
    batch_of,
    batch_over,
    batch_until,
    card,
    editing,
    files_at,
    press,
    statuses,
    writing,
)
from tests.support.gitserver import Repo
from tests.support.modelserver import Bash, Edit, Hang, Turn, Write
from tests.support.stack import Json, Person

FILES = {"app.py": "print('hello')\n"}


@pytest.fixture
async def batcher(crowd: Person) -> AsyncIterator[Person]:
    """Ada, whose batches may be of ten tasks."""
    await crowd.ask("PATCH", "/settings", body={"maxBatchSize": 10})
    yield crowd
    await crowd.ask("PATCH", "/settings", body={"maxBatchSize": 3})


async def the_tasks(person: Person, batch: Json) -> list[Json]:
    return [await person.ask("GET", f"/tasks/{task['taskId']}") for task in batch["tasks"]]


def made(name: str, person: Person) -> Repo:
    return person.stack.git.create(f"batch/{name}", FILES)


async def test_what_fits_together_becomes_one_pull_request_and_the_rest_stays_open(batcher: Person) -> None:
    repo = made("parallel", batcher)
    project = await batcher.project(repo)
    tasks = [
        await writing(batcher, project, "alpha", "alpha.txt"),
        await editing(batcher, project, "first", "hello one"),
        await editing(batcher, project, "second", "hello two"),
        await card(batcher, project, "nothing", Turn("There is nothing to do.")),
        await writing(batcher, project, "beta", "beta.txt"),
    ]
    pressed = await press(batcher, tasks)
    batch = await batch_over(batcher, pressed)
    assert batch["status"] == "completed", batch
    assert statuses(batch) == ["completed", "completed", "skipped", "completed", "completed"]
    left = batch["tasks"][2]
    assert f"conflicts with {batch['tasks'][1]['reference']} in app.py" in left["reason"]
    assert f"on the branch openlinear/{tasks[2]['id']}" in left["reason"]

    branch = f"openlinear/batch-{batch['id']}"
    assert batch["branchName"] == branch
    assert files_at(repo, branch) == {"app.py", "alpha.txt", "beta.txt"}
    tip = repo.branches()[branch]
    assert repo.read(tip, "app.py") == b"print('hello one')\n"
    log = repo.show(tip, "%s").strip()
    assert log.startswith("Merge ")
    assert repo.read(repo.branches()[f"openlinear/{tasks[2]['id']}"], "app.py") == b"print('hello two')\n"
    assert set(repo.branches()) == {"main", branch, f"openlinear/{tasks[2]['id']}"}

    [pull] = [one for one in batcher.stack.github.pulls if one["head"] == branch]
    said = pull["full"]
    assert said["number"] == batch["prNumber"]
    for task in (0, 1, 4):
        assert batch["tasks"][task]["reference"] in said["body"]
    assert "conflicts with" in said["body"]

    now = await the_tasks(batcher, batch)
    assert [task["status"] for task in now] == ["done", "done", "in_progress", "done", "done"]
    assert [task["prNumber"] for task in now] == [said["number"], said["number"], None, None, said["number"]]
    assert [task["executionStatus"] for task in now] == ["done", "done", "failed", "done", "done"]
    await assert_freed(batcher, *now)


async def test_a_queue_waits_for_approval_and_builds_on_what_came_before(batcher: Person) -> None:
    repo = made("queue", batcher)
    project = await batcher.project(repo)
    tasks = [
        await editing(batcher, project, "one", "hello one"),
        await card(
            batcher, project, "two", Turn("", [Edit("app.py", "hello one", "hello two")]), Turn("Done.")
        ),
        await writing(batcher, project, "three", "three.txt"),
    ]
    pressed = await press(batcher, tasks, "queue", buildOnPrevious=True)
    waiting = await batch_until(batcher, pressed, lambda now: now["status"] == "waiting")
    assert statuses(waiting) == ["completed", "queued", "queued"]
    assert [task["awaitsApproval"] for task in waiting["tasks"]] == [True, False, False]
    diff = await batcher.http.get(f"/api/tasks/{tasks[0]['id']}/diff")
    assert "+print('hello one')" in diff.json()["patch"]
    await batcher.ask("POST", f"/batches/{pressed['id']}/approve", expect=202)
    await batcher.ask("POST", f"/batches/{pressed['id']}/approve", expect=409)
    second = await batch_until(batcher, pressed, lambda now: now["status"] == "waiting")
    assert statuses(second) == ["completed", "completed", "queued"]
    diff = await batcher.http.get(f"/api/tasks/{tasks[1]['id']}/diff")
    assert "-print('hello one')" in diff.json()["patch"], "its own change alone"
    await batcher.ask("POST", f"/batches/{pressed['id']}/approve", expect=202)
    batch = await batch_over(batcher, pressed)
    assert batch["status"] == "completed", batch
    tip = repo.branches()[batch["branchName"]]
    assert repo.read(tip, "app.py") == b"print('hello two')\n"
    assert files_at(repo, batch["branchName"]) == {"app.py", "three.txt"}


async def test_a_conflict_goes_back_to_its_agent_once(batcher: Person) -> None:
    repo = made("resolve", batcher)
    project = await batcher.project(repo)
    # The follow-up names the task again, so the script begins anew: what it does depends on what it finds.
    first = "grep -q '<<<<' app.py || sed -i 's/hello/hello {}/' app.py"
    both = "; grep -q '<<<<' app.py && printf \"print('hello one and two')\\n\" > app.py"
    mends = Turn("", [Bash(first.format("two") + both)])
    stubborn = Turn("", [Bash(first.format("three"))])
    tasks = [
        await editing(batcher, project, "r-one", "hello one"),
        await card(batcher, project, "r-two", mends, Turn("Done.")),
        await card(batcher, project, "r-three", stubborn, Turn("I leave it as it is.")),
    ]
    batch = await batch_over(batcher, await press(batcher, tasks, conflictBehavior="resolve"))
    assert batch["status"] == "completed", batch
    assert statuses(batch) == ["completed", "completed", "skipped"]
    assert [task["turn"] for task in batch["tasks"]] == [1, 2, 2]
    assert "conflict markers" in batch["tasks"][2]["reason"]
    tip = repo.branches()[batch["branchName"]]
    assert repo.read(tip, "app.py") == b"print('hello one and two')\n"
    own = repo.branches()[f"openlinear/{tasks[2]['id']}"]
    assert repo.read(own, "app.py") == b"print('hello three')\n"


async def test_a_merge_that_breaks_the_checks_is_found_and_left_out(batcher: Person) -> None:
    repo = made("checks", batcher)
    check = "test ! -e broken.txt || { echo broken.txt must not be; exit 3; }"
    project = await batcher.project(repo, checks=["test -f app.py", check])
    names = ("c-one", "c-two", "c-three", "c-four")
    files = ("one.txt", "two.txt", "broken.txt", "four.txt")
    tasks = [await writing(batcher, project, *pair) for pair in zip(names, files, strict=True)]
    batch = await batch_over(batcher, await press(batcher, tasks))
    assert batch["status"] == "completed", batch
    assert statuses(batch) == ["completed", "completed", "skipped", "completed"]
    bad = batch["tasks"][2]
    assert check in bad["reason"]
    assert "broken.txt must not be" in bad["output"]
    assert files_at(repo, batch["branchName"]) == {"app.py", "one.txt", "two.txt", "four.txt"}
    [pull] = [one for one in batcher.stack.github.pulls if one["head"] == batch["branchName"]]
    said = pull["full"]
    assert "`test -f app.py`" in said["body"]
    assert batch["trials"][-1]["passed"]


async def test_nobody_is_blamed_where_the_default_branch_fails_by_itself(batcher: Person) -> None:
    repo = made("broken-main", batcher)
    project = await batcher.project(repo, checks=["test -e missing.txt"])
    tasks = [await writing(batcher, project, f"m-{n}", f"{n}.txt") for n in ("one", "two")]
    batch = await batch_over(batcher, await press(batcher, tasks))
    assert batch["status"] == "failed", batch
    assert "'test -e missing.txt' fails on main itself" in batch["error"]
    assert not any("breaks" in task["reason"] for task in batch["tasks"])
    assert not any(branch.startswith("openlinear/batch-") for branch in repo.branches())


async def test_a_batch_may_fail_or_be_cancelled_or_lose_a_task(batcher: Person) -> None:
    repo = made("ends", batcher)
    project = await batcher.project(repo)
    clashing = [await editing(batcher, project, f"f-{n}", f"hello {n}") for n in ("one", "two")]
    endless = [await card(batcher, project, f"h-{n}", Hang()) for n in range(2)]
    fine = await writing(batcher, project, "fine", "fine.txt")
    failing = await press(batcher, clashing, conflictBehavior="fail")
    cancelled = await press(batcher, endless)
    failed = await batch_over(batcher, failing)
    assert failed["status"] == "failed"
    assert failed["branchName"] is None
    assert statuses(failed) == ["skipped", "skipped"]
    assert "conflicts with" in failed["error"]
    assert set(repo.branches()) == {"main"}, "nothing is pushed"

    await batch_until(batcher, cancelled, lambda now: "running" in statuses(now))
    await batcher.ask("POST", f"/batches/{cancelled['id']}/cancel", expect=202)
    over = await batch_over(batcher, cancelled)
    assert over["status"] == "cancelled"
    assert statuses(over) == ["cancelled", "cancelled"]

    again = await press(batcher, [endless[0], fine])
    await batch_until(batcher, again, lambda now: statuses(now) == ["running", "completed"])
    await batcher.ask("POST", f"/batches/{again['id']}/tasks/{endless[0]['id']}/cancel", expect=202)
    lost = await batch_over(batcher, again)
    assert (lost["status"], statuses(lost)) == ("completed", ["cancelled", "completed"])
    assert files_at(repo, lost["branchName"]) == {"app.py", "fine.txt"}
    now = await asyncio.gather(*(the_tasks(batcher, one) for one in (failed, over, lost)))
    await assert_freed(batcher, *now[0], now[1][1], *now[2])


async def test_what_would_conflict_is_told_while_the_agents_are_at_work(batcher: Person) -> None:
    repo = made("radar", batcher)
    project = await batcher.project(repo)
    tasks = [
        await card(batcher, project, f"w-{name}", Turn("", [Edit("app.py", "hello", name)]), Hang())
        for name in ("one", "two")
    ]
    tasks.append(await card(batcher, project, "w-apart", Turn("", [Write("apart.txt", "x\n")]), Hang()))
    pressed = await press(batcher, tasks)

    def told(now: Json) -> bool:
        return bool(now["tasks"][0]["clashes"] and now["tasks"][1]["clashes"])

    batch = await batch_until(batcher, pressed, told)
    first, second, apart = batch["tasks"]
    assert first["clashes"] == [
        {"taskId": tasks[1]["id"], "identifier": second["reference"], "files": ["app.py"]}
    ]
    assert [one["taskId"] for one in second["clashes"]] == [tasks[0]["id"]]
    assert apart["clashes"] == []
    shown = await batcher.ask("GET", f"/tasks/{tasks[0]['id']}")
    assert shown["execution"]["clashes"][0]["identifier"] == second["reference"]
    await batcher.ask("POST", f"/batches/{pressed['id']}/tasks/{tasks[1]['id']}/cancel", expect=202)
    await batch_until(batcher, pressed, lambda now: not now["tasks"][0]["clashes"])
    await batcher.ask("POST", f"/batches/{pressed['id']}/cancel", expect=202)
    assert (await batch_over(batcher, pressed))["status"] == "cancelled"


async def test_what_is_waited_for_comes_first_and_a_failure_stops_what_is_not_begun(batcher: Person) -> None:
    repo = made("order", batcher)
    project = await batcher.project(repo)
    base = await writing(batcher, project, "o-base", "base.txt")
    seen = Turn("", [Bash("cat base.txt > seen.txt")])
    above = await card(batcher, project, "o-above", seen, Turn("Done."), waitsFor=[base["id"]])
    await batcher.ask("PATCH", f"/tasks/{base['id']}", body={"waitsFor": [above["id"]]}, expect=422)
    await batcher.ask("POST", f"/tasks/{above['id']}/execute", expect=409)
    batch = await batch_over(batcher, await press(batcher, [above, base]))
    assert [task["taskId"] for task in batch["tasks"]] == [base["id"], above["id"]]
    assert statuses(batch) == ["completed", "completed"], batch
    tip = repo.branches()[batch["branchName"]]
    assert repo.read(tip, "seen.txt") == b"o-base\n", "it began with what it waited for"

    broken = await card(batcher, project, "o-broken", Turn("", [Write("x.txt", "x\n")]), Hang())
    others = [await writing(batcher, project, f"o-{n}", f"{n}.txt") for n in range(2)]
    await batcher.ask("PATCH", f"/tasks/{others[1]['id']}", body={"waitsFor": [broken["id"]]})
    await batcher.ask("PATCH", f"/tasks/{broken['id']}", body={"limits": {"wallSeconds": 4}})
    pressed = await press(batcher, [broken, *others])
    batch = await batch_over(batcher, pressed)
    assert statuses(batch) == ["failed", "completed", "skipped"], batch
    assert "which has no result" in batch["tasks"][2]["reason"]
    stopped = await batch_over(batcher, await press(batcher, [broken, *others], "queue", stopOnFailure=True))
    assert (stopped["status"], statuses(stopped)) == ("failed", ["failed", "skipped", "skipped"])
    now = await batcher.ask("GET", f"/tasks/{others[1]['id']}")
    assert now["status"] == "todo", "it was never begun"
    retried = await batcher.ask("POST", f"/batches/{stopped['id']}/retry", expect=202)
    await batcher.ask("POST", f"/batches/{retried['id']}/cancel", expect=202)
    again = await batch_over(batcher, retried)
    assert len(again["tasks"]) == 3


async def test_what_cannot_be_a_batch_is_refused_whole(batcher: Person) -> None:
    repo = made("refused", batcher)
    project, other = await batcher.project(repo), await batcher.project(repo, name="Other")
    task = await writing(batcher, project, "x-one", "one.txt")
    elsewhere = await writing(batcher, other, "x-two", "two.txt")
    many = [await writing(batcher, project, f"x-m{n}", f"{n}.txt") for n in range(11)]
    hangs = await card(batcher, project, "x-hangs", Hang())
    await batcher.execute(hangs)

    async def refused(ids: list[str], status: int, *words: str, mode: str = "parallel") -> None:
        said = await batcher.ask("POST", "/batches", body={"taskIds": ids, "mode": mode}, expect=status)
        for word in words:
            assert word in said["detail"]

    await refused([], 422, "at least one")
    await refused([task["id"], task["id"]], 422, "twice")
    await refused([one["id"] for one in many], 422, "at most 10")
    await refused([task["id"], elsewhere["id"]], 422, "one project")
    await refused([task["id"], hangs["id"]], 409, "runs already")
    await refused([task["id"], "00000000-0000-4000-8000-000000000000"], 404)
    await refused([task["id"]], 422, mode="both")
    for one in (task, elsewhere, *many):
        assert (await batcher.ask("GET", f"/tasks/{one['id']}"))["executionStatus"] is None
    await batcher.ask("POST", f"/tasks/{hangs['id']}/cancel", expect=202)
    await batcher.ended(hangs)
    assert (await batcher.ask("GET", f"/batches?projectId={project['id']}"))["items"] == []
    assert await batch_of(batcher, await press(batcher, [task]))
