"""The line, from a card to a pull request, on real parts."""

import asyncio

from tests.support.modelserver import Bash, Edit, Turn, Write
from tests.support.stack import Person

FILES = {"src/app.py": "print('hello')\n", "README.md": "# App\n"}


def editing(person: Person, name: str) -> str:
    """A script that edits one file and writes another."""
    return person.stack.model.script(
        name,
        Turn("I will greet by name.", [Edit("src/app.py", "hello", "hello, world")]),
        Turn("A test as well.", [Write("tests/test_app.py", "assert True\n")]),
        Turn("It greets the world now."),
    )


async def test_from_a_card_to_a_pull_request(person: Person) -> None:
    stack = person.stack
    repo = stack.git.create("ada/app", FILES)
    project = await person.project(repo)
    assert project["defaultBranch"] == "main"
    task = await person.task(
        project, "Greet the world", description=f"Say hello to all. {editing(person, 'greet')}"
    )
    await person.execute(task)
    done = await person.ended(task)

    assert (done["status"], done["executionStatus"], done["executionError"]) == ("done", "done", None)
    branch = f"openlinear/{task['id']}"
    assert done["branchName"] == branch
    tip = repo.branches()[branch]
    assert repo.read(tip, "src/app.py") == b"print('hello, world')\n"
    assert set(repo.files(tip)) == {*FILES, "tests/test_app.py"}
    assert repo.show(tip, "%an <%ae>") == "Ada Lovelace <ada@example.org>"
    assert "Co-authored-by: OpenCode" in repo.show(tip, "%B")

    [pull] = [pull for pull in stack.github.pulls if pull["head"] == branch]
    said = pull["full"]
    assert (pull["base"], said["title"]) == ("main", "Greet the world")
    assert "Say hello to all." in said["body"]
    assert "It greets the world now." in said["body"]
    assert (done["prNumber"], done["prUrl"]) == (said["number"], said["html_url"])

    log = await person.log(task)
    assert [entry["seq"] for entry in log] == list(range(1, len(log) + 1))
    assert "edit src/app.py" in [entry["message"] for entry in log]
    diff = await person.http.get(f"/api/tasks/{task['id']}/diff")
    assert "+print('hello, world')" in diff.text


async def test_an_agent_that_committed_by_itself(person: Person) -> None:
    repo = person.stack.git.create("ada/committed", FILES)
    script = person.stack.model.script(
        "commits",
        Turn("Committing.", [Write("a.txt", "one\n"), Bash("git add -A && git commit -qm 'By the agent'")]),
        Turn("And one more file.", [Write("b.txt", "two\n")]),
        Turn("Done."),
    )
    task = await person.task(await person.project(repo), "Commit it", description=script)
    await person.execute(task)
    assert (await person.ended(task))["executionStatus"] == "done"
    tip = repo.branches()[f"openlinear/{task['id']}"]
    assert {"a.txt", "b.txt"} <= set(repo.files(tip))
    assert repo.show(f"{tip}^", "%s") == "By the agent"


async def test_no_change_is_an_outcome(person: Person) -> None:
    repo = person.stack.git.create("ada/nothing", FILES)
    script = person.stack.model.script("nothing", Turn("There is nothing to do."))
    task = await person.task(await person.project(repo), "Do nothing", description=script)
    await person.execute(task)
    done = await person.ended(task)
    assert (done["status"], done["executionStatus"], done["prUrl"]) == ("done", "done", None)
    assert repo.branches().keys() == {"main"}
    assert (await person.log(task))[-1]["message"] == "Done: the agent made no changes"


async def opened_ahead(person: Person) -> str:
    """The id that the person's next run will have."""
    async with asyncio.timeout(30):
        query = "SELECT run_id FROM next_runs WHERE user_id = %s AND ready"
        while not (rows := person.stack.rows(query, person.id)):
            await asyncio.sleep(0.05)
    return str(rows[0][0])


async def test_a_second_run_updates_the_branch_and_finds_its_pull_request(person: Person) -> None:
    repo = person.stack.git.create("ada/again", FILES)
    project = await person.project(repo)
    task = await person.task(project, "Greet twice", description=editing(person, "again"))
    await person.execute(task)
    first = await person.ended(task)
    opened = await opened_ahead(person)
    assert await person.execute(task) == opened
    second = await person.until(task, lambda now: now["executionStatus"] == "done" and now != first)
    assert second["prNumber"] == first["prNumber"]
    assert second["branchName"] == first["branchName"]
    assert len([p for p in person.stack.github.pulls if p["head"] == second["branchName"]]) == 1


async def test_commits_of_others_on_the_branch_are_not_overwritten(person: Person) -> None:
    repo = person.stack.git.create("ada/shared", FILES)
    project = await person.project(repo)
    task = await person.task(project, "Greet beside", description=editing(person, "beside"))
    theirs = repo.commit({"theirs.txt": "keep me\n"}, f"openlinear/{task['id']}", "Theirs")
    await person.execute(task)
    done = await person.ended(task)
    assert done["executionStatus"] == "done", done
    assert done["branchName"] == f"openlinear/{task['id']}-2"
    assert repo.branches()[f"openlinear/{task['id']}"] == theirs
