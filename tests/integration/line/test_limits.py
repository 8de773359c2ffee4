"""Runs that reach a limit keep their work; runs that fail for what may pass are tried again."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from engine.retries import TABLE
from tests.support.aftermath import assert_done, assert_failed
from tests.support.gitserver import Repo
from tests.support.modelserver import Fail, Hang, Item, Turn, Write
from tests.support.stack import Json, Person

HANGS_UP = "socket hang up"
"""What a provider's words are when the network is to blame."""


@pytest.fixture
async def stubborn(crowd: Person) -> AsyncIterator[Person]:
    """Ada, whose runs are tried again as often as the installation allows."""
    await crowd.ask("PATCH", "/settings", body={"limits": {"attempts": None}})
    yield crowd
    await crowd.ask("PATCH", "/settings", body={"limits": {"attempts": 1}})


async def card(person: Person, repo: Repo, name: str, *items: Item, **more: object) -> Json:
    script = person.stack.model.script(name, *items)
    return await person.task(await person.project(repo), f"With {name}", description=script, **more)


async def test_a_run_that_reaches_a_limit_has_its_work_on_its_branch(crowd: Person) -> None:
    names = ("tokens", "clock")
    repos = [crowd.stack.git.create(f"limits/{name}", {"app.py": "x = 1\n"}) for name in names]
    first = Turn("", [Write("kept.txt", "so far\n")])
    costly = await card(
        crowd, repos[0], "costly", first, Turn("", [Write("b.txt", "b\n")]), Hang(), limits={"tokens": 200}
    )
    endless = await card(crowd, repos[1], "endless", first, Hang())
    await crowd.execute(costly)
    await crowd.execute(endless, wallSeconds=6)
    ended = await asyncio.gather(
        assert_failed(crowd, costly, "limit of 200 tokens", "on its branch", kind="budget"),
        assert_failed(crowd, endless, "limit of 6 seconds", "on its branch", kind="budget"),
    )
    for task, repo in zip(ended, repos, strict=True):
        tip = repo.branches()[task["branchName"]]
        assert repo.read(tip, "kept.txt") == b"so far\n"
        assert task["execution"]["errorKind"] == "budget"
        diff = await crowd.http.get(f"/api/tasks/{task['id']}/diff")
        assert "+so far" in diff.text
    assert ended[0]["execution"]["tokensIn"] + ended[0]["execution"]["tokensOut"] == 220


async def attempts(person: Person, task: Json) -> list[Json]:
    return [entry["details"] for entry in await person.log(task) if entry["part"].startswith("attempt:")]


async def test_what_may_pass_is_tried_again_by_its_class(stubborn: Person) -> None:
    repo = stubborn.stack.git.create("limits/again", {"app.py": "x = 1\n"})
    away = Fail(500, retry_after=0.2, message=HANGS_UP)
    passing = Fail(500, times=4, retry_after=0.2, message=HANGS_UP)
    recovers = await card(
        stubborn, repo, "recovers", passing, Turn("", [Write("a.txt", "a\n")]), Turn("Done.")
    )
    never = await card(stubborn, repo, "never", away, limits={"attempts": 2})
    asked = TABLE["rate_limit"].wait + 10
    waits = await card(stubborn, repo, "waits", Fail(429, retry_after=asked, message="Too many requests"))
    for task in (recovers, never, waits):
        await stubborn.execute(task)

    done = await assert_done(stubborn, recovers)
    assert (done["execution"]["attempt"], done["execution"]["attempts"]) == (2, TABLE["network"].retries + 1)
    [again] = await attempts(stubborn, recovers)
    assert (again["attempt"], again["class"]) == (2, "network")
    assert again["waitSeconds"] == TABLE["network"].wait

    failed = await assert_failed(stubborn, never, "did not answer", kind="network")
    assert (failed["execution"]["attempt"], failed["execution"]["attempts"]) == (2, 2)

    await stubborn.until(waits, lambda now: now["execution"]["attempt"] == 2)
    [again] = await attempts(stubborn, waits)
    assert again["class"] == "rate_limit"
    assert TABLE["rate_limit"].wait < again["waitSeconds"] <= asked
    await stubborn.ask("POST", f"/tasks/{waits['id']}/cancel", expect=202)
    assert (await stubborn.ended(waits, 10))["executionStatus"] == "cancelled"
