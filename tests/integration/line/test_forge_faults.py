"""Remotes that refuse the push, and a GitHub that refuses the pull request."""

import asyncio

from tests.support.aftermath import assert_done, assert_failed
from tests.support.gitserver import Repo
from tests.support.modelserver import Edit, Turn
from tests.support.stack import Json, Person

FILES = {"app.py": "print('hello')\n"}


async def started(person: Person, repo: Repo, name: str) -> Json:
    """A task that edits a file, on its way."""
    script = person.stack.model.script(
        name, Turn("I will greet.", [Edit("app.py", "hello", "hello, world")]), Turn("It greets.")
    )
    task = await person.task(await person.project(repo), f"Greet {name}", description=script)
    await person.execute(task)
    return task


async def shows_its_diff(person: Person, task: Json) -> bool:
    diff = await person.http.get(f"/api/tasks/{task['id']}/diff")
    return "+print('hello, world')" in diff.text


async def test_a_push_that_is_refused_says_why_and_shows_the_work(crowd: Person) -> None:
    names = ("hooked", "forbidden", "broken", "revoked")
    hooked, forbidden, broken, revoked = repos = [crowd.stack.git.create(f"push/{n}", FILES) for n in names]
    hooked.refuse_pushes("Commits need a ticket number.")
    forbidden.push_fault, broken.push_fault, revoked.push_fault = 403, 500, 401
    tasks = [await started(crowd, repo, name) for repo, name in zip(repos, names, strict=True)]
    expected = [
        ("refused the push of openlinear/", "Commits need a ticket number.", "remote"),
        ("the token may not do this", "write access", "authentication"),
        ("has a problem of its own", "Try again later", "overload"),
        ("did not accept the token", "Enter a new one", "authentication"),
    ]
    await asyncio.gather(
        *(
            assert_failed(crowd, task, *words, kind=kind)
            for task, (*words, kind) in zip(tasks, expected, strict=True)
        )
    )
    for task, repo in zip(tasks, repos, strict=True):
        assert await shows_its_diff(crowd, task)
        assert set(repo.branches()) == {"main"}

    forbidden.push_fault = None
    await crowd.execute(tasks[1])
    assert (await assert_done(crowd, tasks[1]))["prNumber"] is not None


async def test_without_a_pull_request_the_branch_is_pushed_and_a_retry_opens_it(crowd: Person) -> None:
    github = crowd.stack.github
    faults: dict[str, int | str] = {
        "bad-token": 401,
        "no-scope": 403,
        "invalid": 422,
        "down": 500,
        "hangs": "hang",
    }
    repos = {name: crowd.stack.git.create(f"hub/{name}", FILES) for name in faults}
    github.faults = {f"hub/{name}": fault for name, fault in faults.items()}
    tasks = {name: await started(crowd, repo, name) for name, repo in repos.items()}
    expected = {
        "bad-token": ("did not accept the token", "authentication"),
        "no-scope": ("The token needs the repo scope", "authentication"),
        "invalid": ("refused the pull request", "invalid_request"),
        "down": ("has a problem of its own (it answered 500)", "overload"),
        "hangs": ("did not answer in time", "network"),
    }
    branches = {name: f"openlinear/{task['id']}" for name, task in tasks.items()}
    await asyncio.gather(
        *(
            assert_failed(
                crowd,
                tasks[name],
                f"The branch {branches[name]} is pushed, but has no pull request",
                words,
                kind=kind,
            )
            for name, (words, kind) in expected.items()
        )
    )
    for name, task in tasks.items():
        assert branches[name] in repos[name].branches()
        assert await shows_its_diff(crowd, task)

    github.faults = {}
    await asyncio.gather(*(crowd.execute(task) for task in tasks.values()))
    for name, task in tasks.items():
        done = await assert_done(crowd, task)
        assert set(repos[name].branches()) == {"main", branches[name]}
        [pull] = [one for one in github.pulls if one["head"] == branches[name]]
        assert done["prNumber"] == pull["full"]["number"]
