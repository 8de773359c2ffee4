"""Batches over HTTP, as a person presses for them."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from tests.support.gitserver import Repo
from tests.support.modelserver import Edit, Item, Turn, Write
from tests.support.stack import Json, Person

OVER = ("completed", "failed", "cancelled")


async def card(person: Person, project: Json, name: str, *items: Item, **more: Any) -> Json:
    """A task whose agent does these turns."""
    script = person.stack.model.script(name, *items)
    return await person.task(project, f"With {name}", description=script, **more)


async def writing(person: Person, project: Json, name: str, path: str, **more: Any) -> Json:
    """A task that makes a file of its own."""
    turns = (Turn("", [Write(path, f"{name}\n")]), Turn(f"I made {path}."))
    return await card(person, project, name, *turns, **more)


async def editing(person: Person, project: Json, name: str, new: str, *, old: str = "hello") -> Json:
    """A task that changes the one line of `app.py`: any two of these conflict."""
    turns = (Turn("", [Edit("app.py", old, new)]), Turn(f"It says {new} now."))
    return await card(person, project, name, *turns)


async def press(person: Person, tasks: Sequence[Json], mode: str = "parallel", **more: Any) -> Json:
    """Execute these as a batch."""
    body = {"taskIds": [task["id"] for task in tasks], "mode": mode, **more}
    made: Json = await person.ask("POST", "/batches", body=body, expect=202)
    return made


async def batch_of(person: Person, batch: Json) -> Json:
    found: Json = await person.ask("GET", f"/batches/{batch['id']}")
    return found


async def batch_until(
    person: Person, batch: Json, reached: Callable[[Json], bool], seconds: float = 90
) -> Json:
    """The batch, once `reached` says so."""
    deadline = time.monotonic() + seconds
    while True:
        now = await batch_of(person, batch)
        if reached(now):
            return now
        assert time.monotonic() < deadline, f"still {now}\n{person.stack.log_tails()}"
        await asyncio.sleep(0.1)


async def batch_over(person: Person, batch: Json, seconds: float = 90) -> Json:
    return await batch_until(person, batch, lambda now: now["status"] in OVER, seconds)


def statuses(batch: Json) -> list[str]:
    return [task["status"] for task in batch["tasks"]]


def files_at(repo: Repo, branch: str) -> set[str]:
    return set(repo.files(repo.branches()[branch]))
