"""A batch beside lone runs: how long a slot stays idle, and how long the pull request takes.

A slot is idle from one agent's end to the next one's first request to the model: the end is when the model
has given its last answer. Lone runs and batches take turns on one warm container and one warm mirror.
"""

import asyncio
import time
from itertools import count

import httpx

from benchmarks.dispatch import SETTINGS
from benchmarks.parts import database, folder, worker_image
from benchmarks.repository import BYTES, FILES, make_repository
from benchmarks.table import Figures, Ratio, Series
from engine.agents.demo_model import text_of
from tests.support.aftermath import cleared
from tests.support.batches import batch_over, press
from tests.support.modelserver import MARKER, Bash, Turn
from tests.support.stack import Json, Person, register, serve_stack

ROUNDS = 4
LONE = 4
"""Lone runs a round."""
TASKS = 10
SLOTS = 2
WORK_SECONDS = (3.0, 4.6)
"""How long two neighbouring tasks' agents are at work: they do not end together."""


class Answers(list[Json]):
    """The model server's requests: of each marker when the first came, and the last, by perf_counter."""

    def __init__(self) -> None:
        self.first: dict[str, float] = {}
        self.last: dict[str, float] = {}

    def append(self, request: Json) -> None:
        arrived = time.perf_counter()
        if request.get("tools"):
            for message in request["messages"]:
                if found := MARKER.search(text_of(message)):
                    self.first.setdefault(found.group(1), arrived)
                    self.last[found.group(1)] = arrived


async def measure() -> Figures:
    await worker_image()
    lone, idle, pull = (
        Series(name, [])
        for name in (
            "a lone run: POST execute to the first request",
            "a batch's slot: one agent's end to the next first request",
            "a batch: the last agent's end to the pull request",
        )
    )
    with database() as url, folder("batch") as home, serve_stack(url, home, **SETTINGS) as stack:
        answers = stack.model.requests = Answers()
        async with httpx.AsyncClient(base_url=stack.url, timeout=60) as http:
            person = await register(stack, http, "Ada Lovelace", "ada@example.org")
            await person.connect_model()
            await person.ask("PATCH", "/settings", body={"parallelLimit": SLOTS, "maxBatchSize": TASKS})
            project = await person.project(make_repository(stack.git))
            numbers = count()
            await _alone(person, project, answers, f"warm-{next(numbers)}")
            for _ in range(ROUNDS):
                for _ in range(LONE):
                    lone.seconds.append(await _alone(person, project, answers, f"lone-{next(numbers)}"))
                gaps, took = await _together(person, project, answers, f"many-{next(numbers)}")
                idle.seconds.extend(gaps)
                pull.seconds.append(took)
    return Figures(
        "A batch of ten tasks, two at once",
        [lone, idle, pull],
        [Ratio(idle, lone)],
        [
            ("p95 of a slot's idle time above a lone run's", _above(idle.p95, lone.p95)),
            ("its median above a lone run's", _above(idle.median, lone.median)),
            ("repository", f"{FILES:,} files, {BYTES >> 20} MiB; warm container, warm mirror, in turn"),
        ],
    )


def _above(ours: float, floor: float) -> str:
    return f"{(ours - floor) * 1000:+,.0f} ms, at most +300 asked"


async def _task(person: Person, project: Json, marker: str, seconds: float) -> Json:
    turns = (Turn("", [Bash(f"sleep {seconds}; echo {marker} > {marker}.txt")]), Turn("Done."))
    prompt = person.stack.model.script(marker, *turns)
    return await person.task(project, f"Write {marker}", description=prompt, model="scripted/scripted-1")


async def _alone(person: Person, project: Json, answers: Answers, marker: str) -> float:
    task = await _task(person, project, marker, 0.5)
    began = time.perf_counter()
    run = await person.execute(task)
    await cleared(person, run)
    return answers.first[marker] - began


async def _together(person: Person, project: Json, answers: Answers, name: str) -> tuple[list[float], float]:
    """How long each slot was idle each time, and how long the pull request took after the last agent."""
    markers = [f"{name}-{number}" for number in range(TASKS)]
    tasks = [
        await _task(person, project, marker, WORK_SECONDS[number % 2])
        for number, marker in enumerate(markers)
    ]
    batch = await press(person, tasks)
    proposed = asyncio.create_task(_proposed(person, batch["id"]))
    over = await batch_over(person, batch, 300)
    if over["status"] != "completed":
        raise RuntimeError(f"the batch came to nothing: {over['error']}")
    begins = sorted(answers.first[marker] for marker in markers)
    ends = sorted(answers.last[marker] for marker in markers)
    gaps = [begun - ended for ended, begun in zip(ends, begins[SLOTS:], strict=False)]
    return gaps, await proposed - ends[-1]


async def _proposed(person: Person, batch_id: str) -> float:
    """When the batch had its pull request."""
    query = "SELECT 1 FROM batches WHERE id = %s AND pr_number IS NOT NULL"
    while not await asyncio.to_thread(person.stack.rows, query, batch_id):  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.02)
    return time.perf_counter()
