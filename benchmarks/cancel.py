"""From POST cancel to a run's end, and to the last of its processes, whatever it was at.

In the container's own time and under its own load: the agent's command starts a child in a session of its
own, as a build server would.
"""

import asyncio
import time

import httpx

from benchmarks.parts import database, folder, worker_image
from benchmarks.table import Figures, Series
from tests.support.aftermath import cleared, inside
from tests.support.modelserver import Ask, Bash, Turn
from tests.support.stack import Json, Person, register, serve_stack

REPEATS = 10
BOUND_SECONDS = 5
SETTINGS = {"CONTAINER_MEMORY_MB": "1024", "RUN_IDLE_SECONDS": "120", "RUN_TOTAL_SECONDS": "600"}
WORKING = Turn("", [Bash("setsid sleep 7303 & sleep 7304")])
ASKING = Turn("", [Ask("Shall I?", ("Yes", "No"))])


async def measure() -> Figures:
    await worker_image()
    with database() as url, folder("cancel") as home, serve_stack(url, home, **SETTINGS) as stack:
        async with httpx.AsyncClient(base_url=stack.url, timeout=60) as http:
            person = await register(stack, http, "Ada Lovelace", "ada@example.org")
            await person.connect_model()
            repo = stack.git.create("bench/cancel", {"app.py": "print('hello')\n"})
            project = await person.project(repo)
            fetching, working, waiting, stopped = [
                Series(name, [])
                for name in ("fetching", "in a command", "waiting", "the command's processes")
            ]
            for number in range(REPEATS):
                repo.fault = "hang"
                fetching.seconds.append(await _ended(person, project, f"f-{number}", None, "cloning"))
                repo.fault = None
                waiting.seconds.append(await _ended(person, project, f"a-{number}", ASKING, "waiting"))
                working.seconds.append(
                    await _ended(person, project, f"w-{number}", WORKING, "executing", stopped)
                )
    return Figures(
        "Cancel: from the request to the run's end",
        [fetching, working, waiting, stopped],
        facts=[("asked", f"within {BOUND_SECONDS} s, and no process of it left")],
    )


async def _ended(
    person: Person,
    project: Json,
    marker: str,
    turn: Turn | None,
    state: str,
    stopped: Series | None = None,
) -> float:
    """Seconds until the card says so; `stopped` gets those until nothing that it started is alive."""
    prompt = person.stack.model.script(marker, *([turn] if turn else []), Turn("Never."))
    task = await person.task(project, f"Wait {prompt}", model="scripted/scripted-1")
    run = await person.execute(task)
    await person.until(task, lambda now: now["executionStatus"] == state)
    if stopped is not None:
        await _sleepers(person, 2)
    began = time.perf_counter()
    await person.ask("POST", f"/tasks/{task['id']}/cancel", expect=202)
    await person.until(task, lambda now: now["executionStatus"] == "cancelled")
    took = time.perf_counter() - began
    if stopped is not None:
        await _sleepers(person, 0)
        stopped.seconds.append(time.perf_counter() - began)
    await cleared(person, run)
    return took


async def _sleepers(person: Person, count: int) -> None:
    """Wait until so many of the command's processes are there."""
    async with asyncio.timeout(60):
        while len((await inside(person, "pgrep -x sleep")).split()) != count:  # noqa: ASYNC110 - others make them
            await asyncio.sleep(0.02)
