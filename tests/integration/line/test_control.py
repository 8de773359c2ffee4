"""Runs that are cancelled, held back, starved, or left alone by the processes that follow them."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import httpx

from tests.support.aftermath import assert_done, assert_failed, assert_freed, inside
from tests.support.modelserver import Ask, Bash, Item, Turn, Write
from tests.support.stack import Json, Person, register

FILES = {"app.py": "print('hello')\n"}
SOON = 10.0
"""Seconds for the end of a cancelled run: some five, twice that on a busy machine."""


ESCAPES = (
    'python3 -c \'import os; os.fork() or os.setsid(); os.chdir("/"); '
    'os.execve("/usr/bin/sleep", ["sleep", "7303"], {})\' &'
)
"""Neither its folder nor its environment tells whose it is."""


async def task_with(person: Person, project: Json, name: str, *items: Item) -> Json:
    script = person.stack.model.script(name, *items)
    return await person.task(project, f"With {name}", description=script)


async def cancel(person: Person, task: Json) -> Json:
    """The task, cancelled in good time and free of all it held."""
    await person.ask("POST", f"/tasks/{task['id']}/cancel", expect=202)
    ended = await person.ended(task, SOON)
    assert (ended["status"], ended["executionStatus"], ended["executionError"]) == (
        "cancelled",
        "cancelled",
        None,
    )
    await assert_freed(person, ended)
    return ended


def doing(words: str) -> Callable[[Json], bool]:
    return lambda now: words in now["execution"]["message"]


async def eventually(condition: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


async def test_a_run_is_cancelled_whatever_it_does(crowd: Person) -> None:
    git = crowd.stack.git
    hanging, working = git.create("control/hanging", FILES), git.create("control/working", FILES)
    at_hanging, project = await crowd.project(hanging), await crowd.project(working)
    hanging.fault = "hang"
    cloning = await task_with(crowd, at_hanging, "cancelled-cloning", Turn("Never."))
    partial = Turn("", [Write("partial.txt", "half of the work\n")])
    sleeps = Turn("", [Bash(f"setsid sleep 7301 & {ESCAPES} sleep 7302")])
    executing = await task_with(crowd, project, "cancelled-executing", partial, sleeps, Turn("Never."))
    asks = Turn("", [Ask("Shall I?", ("Yes", "No"))])
    waiting = await task_with(crowd, project, "cancelled-waiting", partial, asks, Turn("Never."))
    for task in (cloning, executing, waiting):
        await crowd.execute(task)

    async def sleeping() -> bool:
        return len((await inside(crowd, "pgrep -x sleep")).split()) == 4

    await crowd.until(cloning, lambda now: now["executionStatus"] == "cloning")
    await crowd.until(waiting, lambda now: now["executionStatus"] == "waiting")
    await eventually(sleeping)
    await asyncio.gather(*(cancel(crowd, task) for task in (cloning, executing, waiting)))

    async def gone() -> bool:
        return await inside(crowd, "pgrep -x sleep") == ""

    await eventually(gone)  # the escaped one with the container, which no other run needs any more
    assert (await crowd.ask("GET", f"/tasks/{waiting['id']}/asks"))["items"] == []
    for task in (executing, waiting):
        diff = await crowd.http.get(f"/api/tasks/{task['id']}/diff")
        assert "+half of the work" in diff.text
    for task in (cloning, executing, waiting):
        refused = await crowd.ask("POST", f"/tasks/{task['id']}/cancel", expect=409)
        assert refused["detail"] == "Nothing runs for this task."
    assert set(working.branches()) == {"main"}


async def test_a_person_runs_three_at_once_and_nobody_elses_are_counted(person: Person) -> None:
    git = person.stack.git
    hanging = git.create("control/crowded", FILES)
    project = await person.project(hanging)
    tasks = [await task_with(person, project, f"crowded-{number}", Turn("Never.")) for number in range(4)]
    hanging.fault = "hang"
    for task in tasks[:3]:
        await person.execute(task)
    refused = await person.ask("POST", f"/tasks/{tasks[3]['id']}/execute", expect=409)
    assert refused["detail"] == (
        "3 of your tasks are running already; wait for one to end or cancel one. The limit is under Settings."
    )
    async with httpx.AsyncClient(base_url=person.stack.url, timeout=40) as http:
        bob = await register(person.stack, http, "Bob Noyce", "bob@example.org")
        await bob.connect_model()
        his = await task_with(bob, await bob.project(git.create("bob/own", FILES)), "bobs", Turn("Never."))
        await bob.execute(his)
        await cancel(bob, his)  # while his container is being made
    await cancel(person, tasks[0])
    await person.execute(tasks[3])
    await asyncio.gather(*(cancel(person, task) for task in tasks[1:]))


EATS = "python3 -c \"x = bytearray(b'x') * (1 << 31)\""
STARVES_THE_SERVER = (
    "for one in /proc/[0-9]*; do "
    "grep -qa serve $one/cmdline && echo 1000 > $one/oom_score_adj; done 2>/dev/null; "
    "for one in $(seq 60); do "
    "python3 -c \"x = bytearray(b'x') * (1 << 25); import time; time.sleep(30)\" & done; wait"
)
"""Memory runs out with the agent server as the largest of many: it is the one that is killed."""


async def test_out_of_memory_is_named_and_the_next_run_works(person: Person) -> None:
    project = await person.project(person.stack.git.create("control/starved", FILES))
    greedy = Turn("", [Bash(EATS)])
    survivor = await task_with(
        person, project, "greedy-tool", greedy, Turn("", [Write("a.txt", "x\n")]), Turn("Without it, then.")
    )
    await person.execute(survivor)
    await assert_done(person, survivor)

    killed = await task_with(person, project, "greedy", Turn("", [Bash(STARVES_THE_SERVER)]), Turn("Never."))
    await person.execute(killed)
    await assert_failed(
        person, killed, "ran out of memory (1024 MB)", "raise CONTAINER_MEMORY_MB", kind="limit"
    )

    after = await task_with(person, project, "after-greed", Turn("", [Write("b.txt", "x\n")]), Turn("Done."))
    await person.execute(after)
    await assert_done(person, after)


def asked(person: Person, name: str) -> list[Json]:
    """The agent's requests to the model in the course of this script, without those for a title."""
    found = [one for one in person.stack.model.requests if one.get("tools") and f"[[{name}]]" in str(one)]
    return [dict(one) for one in found]


async def test_a_worker_that_is_killed_is_followed_by_one_that_goes_on(person: Person) -> None:
    stack = person.stack
    project = await person.project(stack.git.create("control/killed", FILES))

    def script(seconds: int) -> tuple[Item, ...]:
        return (
            Turn("First words.", [Bash(f"sleep {seconds}; echo 1 > one.txt")]),
            Turn("Second words.", [Write("two.txt", "2\n")]),
            Turn("Last words."),
        )

    ends_alone = await task_with(person, project, "ends-alone", *script(3))
    ends_watched = await task_with(person, project, "ends-watched", *script(9))
    for task in (ends_alone, ends_watched):
        await person.execute(task)
    for task in (ends_alone, ends_watched):
        await person.until(task, doing("sleep"))
    worker = stack.processes["worker"]
    worker.kill()
    await asyncio.to_thread(worker.wait)

    async def over() -> bool:
        return len(asked(person, "ends-alone")) == 3

    await eventually(over)
    assert len(asked(person, "ends-watched")) == 1
    stack.start_worker()
    for task, name in ((ends_alone, "ends-alone"), (ends_watched, "ends-watched")):
        done = await assert_done(person, task)
        assert len(asked(person, name)) == 3
        log = await person.log(task)
        assert [entry["seq"] for entry in log] == list(range(1, len(log) + 1))
        said = "".join(entry["message"] for entry in log if entry["kind"] == "text")
        assert said == "First words.Second words.Last words."
        assert done["prNumber"] is not None


async def test_a_web_process_that_is_killed_does_not_touch_the_run(person: Person) -> None:
    stack = person.stack
    project = await person.project(stack.git.create("control/unwatched", FILES))
    works = Turn("", [Bash("sleep 3; echo 1 > one.txt")])
    task = await task_with(person, project, "unwatched", works, Turn("Done."))
    await person.execute(task)
    await person.until(task, doing("sleep"))
    web = stack.processes["web"]
    web.kill()
    await asyncio.to_thread(web.wait)
    stack.start_web()
    await asyncio.to_thread(stack.wait_ready)
    await assert_done(person, task)
    assert len(asked(person, "unwatched")) == 2
