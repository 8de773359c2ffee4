"""People who execute eight tasks at once, and one who looks at each result before the next may begin."""

import asyncio
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import httpx
import psycopg

from tests.chaos.crowd import BATCH_OF, Crowd, Member, Task, work
from tests.chaos.faults import Target
from tests.chaos.instance import Instance
from tests.support.modelserver import Bash, Turn
from tests.support.stack import Json

SECONDS, PAUSE = 0.3, 0.02
"""How long an agent's command takes, and each piece of what it says."""
MENDS_SECONDS = 8
"""Longer than a lease: whatever is left of the first turn is taken over meanwhile."""
AT_WORK = (
    "SELECT m.run_id FROM batch_members m JOIN runs r ON r.id = m.run_id"
    " WHERE m.turn IN (m.begun, m.readied) AND m.handed_in_at IS NULL AND r.ended_at IS NULL"
)
BY_ITSELF = (
    "SELECT id FROM batches b WHERE status IN ('waiting', 'merging') OR (ended_at IS NOT NULL"
    " AND EXISTS (SELECT FROM runs WHERE batch_id = b.id AND cleared_at IS NULL))"
)
"""Nobody works in its sandbox now: it waits for a word, or its merge is under way."""


@dataclass
class Batch:
    member: Member
    run: str
    """Its id."""
    tasks: list[Task]
    hits: list[str] = field(default_factory=list)
    """What was hurt while it was under way by itself."""

    @property
    def all_hits(self) -> list[str]:
        return [*self.hits, *(hit for task in self.tasks for hit in task.hits)]


class Batches:
    """Batches of members of a crowd. Under way are their runs that are at work, and batches by themselves."""

    def __init__(self, instance: Instance, crowd: Crowd) -> None:
        self._instance = instance
        self._crowd = crowd
        self.begun: list[Batch] = []

    async def begin(self, mode: str, *, asks: bool = False) -> Batch:
        """One more, by the members in turn; with `asks`, each next task waits for somebody's word."""
        batch = await self._cards(BATCH_OF)
        await self.press(batch, mode=mode, autoApprove=not asks)
        return batch

    async def _cards(self, count: int) -> Batch:
        """Not pressed yet; of the members in turn."""
        member = self._crowd.members[len(self.begun) % len(self._crowd.members)]
        names = [f"{member.person.name}-{len(self.begun)}-{number}" for number in range(count)]
        cards = (self._crowd.card(member, name, work(name, SECONDS, PAUSE)) for name in names)
        return Batch(member, "", list(await asyncio.gather(*cards)))

    async def begin_clashing(self) -> Batch:
        """One whose second task conflicts with its first, and goes back to its agent for that."""
        batch = await self._cards(BATCH_OF - 2)
        for number in (2, 3):
            name = f"clashing-{number}-{uuid.uuid4().hex[:8]}"
            card = await self._crowd.card(batch.member, name, clashing(name, number))
            batch.tasks.insert(number - 2, card)
        batch.tasks[1].times = 2
        await self.press(batch, mode="parallel", conflictBehavior="resolve")
        return batch

    async def press(self, batch: Batch, **rules: str | bool) -> None:
        """Execute them."""
        ids = [task.id for task in batch.tasks]
        body: Json = {"taskIds": ids, **rules}
        # 409: an earlier try was taken, and its answer lost.
        await batch.member.ask("POST", "/batches", 202, 409, body=body)
        query = "SELECT id, batch_id, task_id FROM runs WHERE task_id = ANY(%s::uuid[])"
        rows = await self._instance.books.rows(query, ids)
        runs = {str(task_id): str(run) for run, _, task_id in rows}
        assert len(rows) == len(runs) == len(ids), f"one press made the runs {rows}"
        for task in batch.tasks:
            task.run = runs[task.id]
        [batch.run] = {str(batch_id) for _, batch_id, _ in rows}
        self.begun.append(batch)

    def find(self, run: str) -> Target | None:
        return next((batch for batch in self.begun if batch.run == run), self._crowd.find(run))

    def of(self, run: str) -> Batch:
        """The batch of this id, or of this run."""
        return next(one for one in self.begun if run in (one.run, *(task.run for task in one.tasks)))

    async def under_way(self) -> Sequence[Target]:
        rows = await self._instance.books.rows(f"{AT_WORK} UNION ALL {BY_ITSELF}")
        return [one for (run,) in rows if (one := self.find(str(run))) is not None]

    async def waiting(self) -> list[Batch]:
        return await self._those("status = 'waiting'")

    async def at_work(self) -> list[Batch]:
        return await self._those("status IN ('queued', 'running')")

    async def open(self) -> list[Batch]:
        return await self._those("ended_at IS NULL")

    async def _those(self, condition: str) -> list[Batch]:
        rows = await self._instance.books.rows(f"SELECT id FROM batches WHERE {condition}")
        ids = {str(batch) for (batch,) in rows}
        return [batch for batch in self.begun if batch.run in ids]

    # -- somebody's word ----------------------------------------------------------------------------

    async def approve(self, batch: Batch) -> None:
        """Pressed until it is taken. 409: it was, by an earlier press whose answer got lost."""
        await batch.member.ask("POST", f"/batches/{batch.run}/approve", 202, 409)

    async def approve_unheard(self, batch: Batch) -> None:
        """Pressed by a browser that is closed before it sees the answer."""
        with suppress(httpx.TimeoutException):
            await self._press(batch, httpx.Timeout(20, read=0.001))

    async def hold_approval(self, batch: Batch) -> "HeldApproval":
        """Pressed, and kept from being written down until `let_go`."""
        url = self._instance.stack.environment["DATABASE_URL"].replace("+psycopg", "")
        connection = await psycopg.AsyncConnection.connect(url)
        admission = f"admit:{batch.member.person.id}"  # so that no worker waits for the row beside it
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [admission])
        await connection.execute("SELECT FROM batches WHERE id = %s FOR UPDATE", [batch.run])
        pressed = asyncio.create_task(self._press(batch, httpx.Timeout(20)))
        waits = "SELECT pid FROM pg_stat_activity WHERE wait_event IN ('transactionid', 'tuple')"
        async with asyncio.timeout(20):
            while not await self._instance.books.rows(f"{waits} AND query LIKE '%batches%'"):
                await asyncio.sleep(0.01)
        return HeldApproval(connection, pressed)

    async def _press(self, batch: Batch, timeout: httpx.Timeout) -> int:
        path = f"/api/batches/{batch.run}/approve"
        return (await batch.member.person.http.post(path, timeout=timeout)).status_code


@dataclass
class HeldApproval:
    connection: psycopg.AsyncConnection
    pressed: "asyncio.Task[int]"

    async def let_go(self) -> int | None:
        """What the press was answered; None where nobody did."""
        await self.connection.close()
        with suppress(httpx.HTTPError):
            return await self.pressed
        return None


def clashing(name: str, number: int) -> list[Turn]:
    """As `work`, and it changes the one line of `a.py`; where that is in conflict, it takes its time."""
    turns = work(name, SECONDS, PAUSE)
    change = f"sed -i 's/A = 1/A = {number}/' a.py"
    mend = f"sleep {MENDS_SECONDS}; echo 'A = 23' > a.py"
    command = f"if grep -q '<<<<' a.py; then {mend}; else {change}; fi"
    return [turns[0], replace(turns[1], calls=[Bash(command)]), turns[2]]
