"""People who press Execute whatever happens, and what their runs are scripted to do."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.chaos.instance import Instance
from tests.support.gitserver import Repo
from tests.support.modelserver import Bash, Turn, Write
from tests.support.stack import Json, Person, register

BATCH_OF = 8
CHECKS = ["test -d work"]
"""What a batch's merged result has to pass."""


@dataclass
class Task:
    """One card and its one run."""

    member: "Member"
    id: str
    name: str
    run: str = ""
    hits: list[str] = field(default_factory=list)
    """What was hurt while its run was under way."""
    times: int = 1
    """How often its agent is to have it: twice where its work goes back for a conflict."""


@dataclass
class Member:
    person: Person
    project: Json
    repo: Repo
    tasks: list[Task] = field(default_factory=list)

    async def ask(self, method: str, path: str, *fine: int, body: Json | None = None) -> Any:
        """As a browser's user would: again, while nobody answers or the server has a problem of its own."""
        deadline = time.monotonic() + 60
        while True:
            try:
                answer = await self.person.http.request(method, f"/api{path}", json=body)
                if answer.status_code in fine:
                    return answer.json() if answer.content else None
                said = f"{method} {path}: {answer.status_code} {answer.text[:300]}"
            except httpx.HTTPError as error:
                answer, said = None, repr(error)
            passing = answer is None or answer.status_code >= 500
            assert passing and time.monotonic() < deadline, said
            await asyncio.sleep(0.2)


class Crowd:
    """Some members with a repository each; `begin` starts one more run, `under_way` knows which are."""

    def __init__(self, instance: Instance, http: list[httpx.AsyncClient]) -> None:
        self._instance = instance
        self._http = http
        self.members: list[Member] = []
        self._begun = 0

    @property
    def tasks(self) -> list[Task]:
        return [task for member in self.members for task in member.tasks]

    async def gather(self) -> None:
        stack = self._instance.stack
        for http in self._http:
            name = f"member-{uuid.uuid4().hex[:8]}"
            person = await register(stack, http, name, f"{name}@example.org")
            await person.connect_model()
            settings = {"parallelLimit": 10, "maxBatchSize": BATCH_OF, "limits": {"attempts": 5}}
            await person.ask("PATCH", "/settings", body=settings)
            repo = stack.git.create(f"chaos/{name}", {"README.md": "# Chaos\n", "a.py": "A = 1\n"})
            self.members.append(Member(person, await person.project(repo, checks=CHECKS), repo))

    async def begin(self, seconds: float = 1.0) -> Task:
        """One more run, by the members in turn; its agent is busy for some so many seconds."""
        member = self.members[self._begun % len(self.members)]
        name = f"{member.person.name}-{self._begun}"
        self._begun += 1
        task = await self.card(member, name, work(name, seconds))
        # 409: an earlier try was taken, and its answer lost.
        await member.ask("POST", f"/tasks/{task.id}/execute", 202, 409)
        [(run,)] = await self._instance.books.rows("SELECT id FROM runs WHERE task_id = %s", task.id)
        task.run = str(run)
        return task

    async def card(self, member: Member, name: str, script: list[Turn]) -> Task:
        """One more card of the member's, whose agent does these turns."""
        description = self._instance.stack.model.script(name, *script)
        body = {"projectId": member.project["id"], "title": name, "description": description}
        made = await member.ask("POST", "/tasks", 201, body=body)
        task = Task(member, made["id"], name)
        member.tasks.append(task)
        return task

    def find(self, run: str) -> Task | None:
        return next((task for task in self.tasks if task.run == run), None)

    async def under_way(self) -> Sequence[Task]:
        rows = await self._instance.books.rows("SELECT id FROM runs WHERE cleared_at IS NULL")
        left = {str(run) for (run,) in rows}
        return [task for task in self.tasks if task.run in left]


@asynccontextmanager
async def serve_crowd(instance: Instance, members: int = 3) -> AsyncIterator[Crowd]:
    """So many new members of the instance, with a repository and a project each."""
    async with AsyncExitStack() as clients:
        http = [
            await clients.enter_async_context(httpx.AsyncClient(base_url=instance.stack.url, timeout=20))
            for _ in range(members)
        ]
        crowd = Crowd(instance, http)
        await crowd.gather()
        yield crowd


SAYS = ("I write it down first. ", "Now I check what I wrote. ", "All of it is done, and checked.")
TURNS = len(SAYS)


def work(name: str, seconds: float, pause: float = 0.1) -> list[Turn]:
    """Some seconds of an agent: it speaks in pieces, writes a file, runs a command."""
    return [
        Turn(SAYS[0], [Write(f"work/{name}.txt", f"{name}\n")], piece=8, pause=pause),
        Turn(SAYS[1], [Bash(f"sleep {seconds}; cat work/{name}.txt")], piece=8, pause=pause),
        Turn(SAYS[2], piece=8, pause=pause),
    ]
