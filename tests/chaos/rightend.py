"""What has to be true of every run in the end, and what may not be left of it anywhere."""

import asyncio
import fcntl
import re
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
from docker.errors import APIError

from engine.agents.demo_model import text_of
from tests.chaos.crowd import SAYS, TURNS, Task
from tests.chaos.faults import SESSION, Target
from tests.chaos.instance import Instance
from tests.support.gitserver import TOKEN

END_SECONDS = 150.0
GONE_SECONDS = 60.0
SERVER = re.compile(
    r"tini |(/\S*/)?opencode serve |(/\S+/)?(ba)?sh \S*(entrypoint|healthcheck)|curl "
    r"|sh -c while :; do .* exec entrypoint |python3 -I -S -c \"\"\"Stands in a worker's container|sleep 1$"
)
"""What runs in a container that nothing is done in: the agent server, and the relay to the way out."""
WORKERS = {"name": "opencode-"}
"""Not the proxy that is everybody's way out: it stays while an engine runs."""


async def all_over(instance: Instance, tasks: Sequence[Target]) -> None:
    """Wait until every run has ended and is cleared, without a hand."""
    query = "SELECT id, status, owner, message FROM runs WHERE cleared_at IS NULL UNION ALL"
    query += " SELECT id, status, owner, message FROM batches WHERE ended_at IS NULL"
    try:
        async with asyncio.timeout(END_SECONDS):
            while await instance.books.rows(query):
                await asyncio.sleep(0.2)
    except TimeoutError:
        hits = {task.run: task.hits for task in tasks}
        left = [(hits.get(str(row[0])), *map(str, row)) for row in await instance.books.rows(query)]
        raise AssertionError(f"without an end: {left}\n{instance.stack.log_tails()}") from None


async def wrong(instance: Instance, task: Task) -> tuple[list[str], int]:
    """What is not right about this run's end, in words (none when all is well), and its attempts."""
    books, found = instance.books, []
    runs = await books.rows(
        "SELECT status, error, pr_number, branch, attempt, last_seq FROM runs WHERE task_id = %s", task.id
    )
    if len(runs) != 1:
        return [f"{len(runs)} runs of one press of Execute"], 0
    [(status, error, number, branch, attempt, last)] = runs
    if status != "done":
        return [f"{status}: {error}"], attempt
    [(card,)] = await books.rows("SELECT status FROM tasks WHERE id = %s", task.id)
    if card != "done":
        found.append(f"the card says {card}")
    found += _outcome(instance, task, branch, number)
    # Where its session was hurt, the agent may have had the task twice.
    once = attempt == 1 or not set(task.hits) & set(SESSION)
    return found + await history(instance, task, last, once), attempt


def _outcome(instance: Instance, task: Task, branch: str, number: int) -> list[str]:
    """One branch with one commit of the right content, and one pull request."""
    found, repo = [], task.member.repo
    branches = repo.branches()
    own = [name for name in branches if task.id in name]
    if own != [f"openlinear/{task.id}"] or branch not in branches:
        return [f"branches: {own}, the run says {branch}"]
    tip, base = branches[branch], branches["main"]
    if (
        repo.show(f"{tip}^", "%H") != base
        or repo.read(tip, f"work/{task.name}.txt") != f"{task.name}\n".encode()
    ):
        found.append("the branch is not one commit with the agent's file")
    pulls = [pull["full"]["number"] for pull in instance.stack.github.pulls if task.id in pull["head"]]
    if pulls != [number]:
        found.append(f"pull requests: {pulls}, the run says {number}")
    return found


async def history(instance: Instance, task: Task, last: int, once: bool) -> list[str]:
    """What is not right about the log, and what the model was asked; `once`: the agent had the task once."""
    found = []
    rows = await instance.books.rows(
        "SELECT seq, kind, part, state, message FROM run_events WHERE run_id = %s ORDER BY seq", task.run
    )
    if [row[0] for row in rows] != list(range(1, last + 1)):
        found.append(f"numbers of the log: {[row[0] for row in rows]}, the last should be {last}")
    if doubled := [name for name, count in Counter(row[2:4] for row in rows).items() if count > 1]:
        found.append(f"written twice: {doubled}")
    said = "".join(row[4] for row in rows if row[1] == "text")
    if once and said != "".join(SAYS) * task.times:
        found.append(f"the agent's words: {said!r}")
    if [row[2] for row in rows].count("ended") != 1:
        found.append("the log does not end once")
    asked = requests(instance, task)
    if asked != TURNS * task.times and once:
        found.append(f"the model was asked {asked} times for {TURNS * task.times} turns")
    return found


def requests(instance: Instance, task: Task) -> int:
    """How often the model was asked for a turn of this run, titles left out."""
    marker = f"[[{task.name}]]"
    return sum(
        1
        for body in instance.stack.model.requests
        if body.get("tools") and any(marker in text_of(one) for one in body["messages"])
    )


# -- what may not be left -------------------------------------------------------------------------


async def left_behind(instance: Instance) -> list[str]:
    """All that is still there of runs that are over: waits a while for what goes by its own timeout."""
    found = await _in_database(instance)
    found += await _in_containers_for_long(instance)
    found += await asyncio.to_thread(_on_machine, instance)
    for _ in range(int(GONE_SECONDS * 5)):
        containers = await asyncio.to_thread(_containers, instance)
        if not containers:
            break
        await asyncio.sleep(0.2)
    else:
        found.append(f"containers: {containers}")
    opened = {str(run) for (run,) in await instance.books.rows("SELECT run_id FROM next_runs")}
    return found + await asyncio.to_thread(_in_volumes, instance, opened)


async def _in_containers_for_long(instance: Instance) -> list[str]:
    """What works in there longer than it takes to lay out a folder for the next run."""
    for _ in range(10):
        if not (found := await asyncio.to_thread(_in_containers, instance)):
            break
        await asyncio.sleep(0.2)
    return found


async def _in_database(instance: Instance) -> list[str]:
    queries = {
        "open runs": "SELECT id FROM runs WHERE ended_at IS NULL OR cleared_at IS NULL",
        "open batches": "SELECT id, status FROM batches WHERE ended_at IS NULL",
        "leases": "SELECT run_id FROM leases",
        "workflows": "SELECT workflow_uuid, status FROM dbos.workflow_status"
        " WHERE status IN ('PENDING', 'ENQUEUED')",
        "open asks": "SELECT id FROM asks WHERE settled_at IS NULL",
    }
    return [
        f"{what}: {rows}" for what, query in queries.items() if (rows := await instance.books.rows(query))
    ]


def _on_machine(instance: Instance) -> list[str]:
    found, repos = [], instance.stack.home / "repos"
    patterns: tuple[str, ...] = (
        "incoming/*",
        "mirrors/*/quarantine/*",
        "mirrors/*/objects/pack/tmp_*",
        "mirrors/*.new",
    )
    patterns += ("mirrors/*.git/*.lock", "mirrors/*.git/refs/**/*.lock", "users/**/tmp*")
    for pattern in patterns:
        found += [f"file: {path}" for path in repos.glob(pattern)]
    temporary = [*instance.temporary.iterdir(), *(instance.stack.home / "checks").glob("*")]
    found += [f"temporary file: {path}" for path in temporary]
    for lock in repos.glob("mirrors/*.lock"):
        with lock.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                found.append(f"held lock: {lock.name}")
    for path in (
        path for folder in (repos, instance.temporary) for path in folder.rglob("*") if path.is_file()
    ):
        if TOKEN.encode() in path.read_bytes():
            found.append(f"credential in {path}")
    return found + _processes(instance)


def _processes(instance: Instance) -> list[str]:
    """Git that outlives its run, and credentials in memory."""
    found = []
    for process in psutil.process_iter():
        try:
            below = str(instance.stack.home) in process.environ().get("GIT_DIR", "")
            if below and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"process: {process.cmdline()}")
        except psutil.Error:
            continue
    for worker in instance.workers:
        if worker.process is None or worker.process.poll() is not None:
            continue
        for descriptor in Path(f"/proc/{worker.process.pid}/fd").iterdir():
            try:
                target = str(descriptor.readlink())
            except OSError:
                continue
            if "memfd:credential" in target:
                found.append(f"credential in the memory of {worker.name}")
    return found


def _in_containers(instance: Instance) -> list[str]:
    """What still works in a container that no run needs: the agent server alone may."""
    client, found = instance.dockerd.client(), []
    try:
        for container in client.containers.list(
            filters={"status": "running", **WORKERS}, ignore_removed=True
        ):
            with suppress(APIError):
                commands = [row[-1] for row in container.top(ps_args="-o pid,args")["Processes"]]
                found += [f"in {container.name}: {one}" for one in commands if not SERVER.match(one)]
    finally:
        client.close()
    return found


def _containers(instance: Instance) -> list[str]:
    client = instance.dockerd.client()
    try:
        found = client.containers.list(all=True, filters=WORKERS, ignore_removed=True)
        return [f"{one.name} {one.status}" for one in found]
    finally:
        client.close()


def _in_volumes(instance: Instance, opened: Collection[str]) -> list[str]:
    """Workspaces of runs. What a next run begins with is there on purpose: files, a folder opened for it."""
    volumes = (instance.dockerd.root / "data" / "volumes").glob("*opencode-repos-*/_data")
    return [
        f"in the workspaces: {path.name}"
        for volume in volumes
        for path in volume.iterdir()
        if path.name != ".spares" and path.name.removeprefix(".") not in opened
    ]
