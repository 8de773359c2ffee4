"""From POST execute to the agent's having the prompt, against a bare script, and a clone for each task.

The agent has the prompt when the model server receives its first request for it. All three ways run
on one warm container and its one OpenCode server, on a warm mirror, in turn.
"""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from benchmarks.parts import Inside, database, folder, quiet, worker_image
from benchmarks.repository import BYTES, FILES, make_repository
from benchmarks.table import Figures, Ratio, Series
from engine.agents.demo_model import text_of
from engine.sandbox.docker import DockerSandbox
from engine.settings import EngineSettings
from tests.support.aftermath import cleared
from tests.support.gitserver import TOKEN, GitServer, serve_git
from tests.support.modelserver import MARKER, Turn
from tests.support.stack import Json, Person, Stack, register, serve_stack

REPEATS = 20
SETTINGS = {
    "CONTAINER_IDLE_PAUSE_SECONDS": "3600",  # the bare scripts hold no lease
    "CONTAINER_MEMORY_MB": "1024",  # for all of the ways together
    "RUN_IDLE_SECONDS": "120",
    "RUN_TOTAL_SECONDS": "600",
}
WORKTREE = 'git -C "$1" worktree add --quiet --detach "$2" main'
CLONE = 'git -c "http.extraHeader=$3" clone --quiet --depth 1 --branch main "$1" "$2"'


class Arrivals(list[Json]):
    """The model server's requests; `at` is when the agent first asked for each marker, by perf_counter."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}

    def append(self, request: Json) -> None:
        arrived = time.perf_counter()
        if not request.get("tools"):  # a title is asked for beside the work
            return
        for message in request["messages"]:
            if found := MARKER.search(text_of(message)):
                self.at.setdefault(found.group(1), arrived)

    async def of(self, marker: str) -> float:
        async with asyncio.timeout(120):
            while marker not in self.at:  # noqa: ASYNC110 - another thread sets it
                await asyncio.sleep(0.01)
        return self.at[marker]


async def measure() -> Figures:
    await worker_image()
    with (
        database() as url,
        folder("dispatch") as home,
        serve_git(home / "git", bind="0.0.0.0") as reachable,
        serve_stack(url, home, **SETTINGS, EGRESS_HOSTS=_inside_named(reachable)) as stack,
    ):
        arrivals = stack.model.requests = Arrivals()
        async with httpx.AsyncClient(base_url=stack.url, timeout=60) as http:
            person = await register(stack, http, "Ada Lovelace", "ada@example.org")
            await person.connect_model()
            ours = await _ours(person, arrivals)
            await ours("warm")  # the container starts, the mirror is filled
            inside = await _inside(stack, person)
            reachable.repos = stack.git.repos
            floor, clone = await _bare_scripts(stack, inside, arrivals, _inside_named(reachable))
            ways = [
                (ours, Series("ours: POST execute", [])),
                (_first(ours, inside), Series("ours, the project's first run", [])),
                (floor, Series("floor: worktree add, session, prompt", [])),
                (clone, Series("clone --depth 1, session, prompt", [])),
            ]
            await _in_turn(ways)
    (_, mine), (_, first), (_, bare), (_, cloned) = ways
    return Figures(
        "Dispatch: to the agent's first request to the model",
        [mine, first, bare, cloned],
        [Ratio(mine, bare, 2.0), Ratio(mine, cloned, 0.5), Ratio(first, bare), Ratio(first, cloned)],
        [("repository", f"{FILES:,} files, {BYTES >> 20} MiB; warm container, warm mirror, in turn")],
    )


Way = Callable[[str], Awaitable[float]]
"""Does it once, for a task of that marker; the seconds it took."""


async def _in_turn(ways: list[tuple[Way, Series]]) -> None:
    for number in range(REPEATS + 1):
        for kind, (way, series) in enumerate(ways):
            took = await way(f"bench-{number}-{kind}")
            if number:  # the first round warms up
                series.seconds.append(took)


async def _ours(person: Person, arrivals: Arrivals) -> Way:
    project = await person.project(make_repository(person.stack.git))

    async def once(marker: str) -> float:
        prompt = person.stack.model.script(marker, Turn("Done."))
        task = await person.task(project, f"Say done {prompt}", model="scripted/scripted-1")
        began = time.perf_counter()
        run = await person.execute(task)
        arrived = await arrivals.of(marker)
        await cleared(person, run)  # only then are its files there for the next
        return arrived - began

    return once


async def _inside(stack: Stack, person: Person) -> Inside:
    environment = {name.lower(): value for name, value in stack.environment.items()}
    sandbox = DockerSandbox(EngineSettings.model_validate(environment))
    return Inside(sandbox, await sandbox.ensure(uuid.UUID(person.id), quiet))


def _first(ours: Way, inside: Inside) -> Way:
    """As ours, without the files that ended runs of the project left."""

    async def once(marker: str) -> float:
        await inside.put_aside(str(inside.box.repos / ".spares"))
        return await ours(marker)

    return once


def _inside_named(server: GitServer) -> str:
    """The server's host and port, as a container knows them."""
    return f"host.docker.internal:{server.url.rpartition(':')[2]}"


async def _bare_scripts(stack: Stack, inside: Inside, arrivals: Arrivals, git_host: str) -> tuple[Way, Way]:
    (project_id, base), *_ = stack.rows("SELECT project_id, base_sha FROM runs ORDER BY created_at LIMIT 1")
    bare = await inside.bare_mirror(str(inside.box.objects / str(project_id)), base)
    remote = f"http://{git_host}/bench/large.git"
    header = httpx.BasicAuth("x-access-token", TOKEN)._auth_header
    agent = httpx.AsyncClient(base_url=inside.box.url, auth=("opencode", inside.box.password), timeout=60)

    def script(checkout: str, *args: str) -> Way:
        async def once(marker: str) -> float:
            prompt = stack.model.script(marker, Turn("Done."))
            tree = str(inside.box.repos / marker)
            began = time.perf_counter()
            await inside.sh(checkout, args[0], tree, *args[1:])
            session = await _prompt(agent, tree, f"Say done {prompt}")
            arrived = await arrivals.of(marker)
            await _idle(agent, tree, session)
            await agent.post("/instance/dispose", params={"directory": tree})
            await inside.put_aside(tree)
            await inside.sh('git -C "$1" worktree prune', bare)
            return arrived - began

        return once

    return script(WORKTREE, bare), script(CLONE, remote, f"Authorization: {header}")


async def _prompt(agent: httpx.AsyncClient, tree: str, text: str) -> str:
    where = {"directory": tree}
    session: str = (await agent.post("/session", params=where, json={})).raise_for_status().json()["id"]
    body: dict[str, Any] = {
        "model": {"providerID": "scripted", "modelID": "scripted-1"},
        "parts": [{"type": "text", "text": text}],
    }
    (await agent.post(f"/session/{session}/prompt_async", params=where, json=body)).raise_for_status()
    return session


async def _idle(agent: httpx.AsyncClient, tree: str, session: str) -> None:
    where = {"directory": tree}
    while session in (await agent.get("/session/status", params=where)).json():  # noqa: ASYNC110
        await asyncio.sleep(0.05)
