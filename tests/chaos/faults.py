"""What is hurt, and when: faults are data, drawn from a seed."""

import asyncio
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

import psutil
from docker.errors import APIError

from tests.chaos.crowd import Member
from tests.chaos.instance import Instance
from tests.chaos.proxy import Wire

STEPS = ("prepare", "converse", "collect", "publish", "propose", "stop", "finish", "clear")
MILD = ("worker", "postgres", "web")
"""What a run carries on from as if nothing had been: the model is asked no question twice."""
SESSION = ("dockerd", "dockerd_alone", "container", "agent")
"""What the agent's session may end with: the run gives it the task again, on the workspace as it stands."""
CUTS = ("remote", "github")
ROUGH = (*SESSION, *CUTS)
"""What a run may answer with a further attempt, of which it has few: after one of these no session's end."""
MOMENT_SECONDS = 20.0
POLL_SECONDS = 0.01
CUT_SECONDS = (0.5, 3.0)


@dataclass(frozen=True)
class Moment:
    """A step's end, its work done but not recorded (`done`) or just recorded (`recorded`); or a delay."""

    step: str = ""
    side: str = ""
    delay: float = 0.0

    def __str__(self) -> str:
        return f"{self.step} {self.side}".strip() or "at random"


@dataclass(frozen=True)
class Fault:
    part: str
    moment: Moment
    pause: float = 0.2
    """Seconds until the part is started again, or a cut wire is mended."""


@dataclass
class Strike:
    """A fault that came to pass."""

    fault: Fault
    runs: list[str]


class Target(Protocol):
    """A run, or a batch while that is under way by itself: between its runs, and when it merges."""

    @property
    def run(self) -> str:
        """Its id."""

    @property
    def member(self) -> Member: ...

    @property
    def hits(self) -> list[str]: ...


class Targets(Protocol):
    async def under_way(self) -> Sequence[Target]: ...

    def find(self, run: str) -> Target | None:
        """Whatever has this id, under way or over."""


def schedule(draw: Random, times: Mapping[str, int], steps: Sequence[str] = STEPS) -> list[Fault]:
    """The worker and the database at each boundary of these steps; each part `times` at drawn moments."""
    boundaries = [Moment(step, side) for step in steps for side in ("done", "recorded")]
    faults = [fault_at(draw, part, moment) for part in MILD[:2] for moment in boundaries]
    faults += [drawn_fault(draw, part, steps) for part, number in times.items() for _ in range(number)]
    draw.shuffle(faults)
    return faults


def _moment(draw: Random, steps: Sequence[str]) -> Moment:
    """Half of the time at a boundary of these steps, if any, half at any instant."""
    if steps and draw.random() < 0.5:
        return Moment(draw.choice(steps), draw.choice(("done", "recorded")))
    return Moment(delay=draw.uniform(0.1, 2.0))


def drawn_fault(draw: Random, part: str, steps: Sequence[str] = STEPS) -> Fault:
    return fault_at(draw, part, _moment(draw, steps))


def fault_at(draw: Random, part: str, moment: Moment) -> Fault:
    if part in ("remote", "github"):
        return Fault(part, moment, draw.uniform(*CUT_SECONDS))
    # A worker stays away for longer than its lease now and then, so that others take its runs over.
    long = part == "worker" and draw.random() < 0.25
    return Fault(part, moment, 8.0 if long else draw.uniform(0.0, 0.5))


class Hand:
    """Inflicts faults on an instance."""

    def __init__(self, instance: Instance, crowd: Targets, draw: Random) -> None:
        self._instance = instance
        self._crowd = crowd
        self._draw = draw
        self._mending: set[asyncio.Task[None]] = set()
        self.strikes: list[Strike] = []

    async def inflict(self, faults: Sequence[Fault]) -> Fault | None:
        """Strike with the one of these whose moment comes first, and say which; None when that failed."""
        tasks = await self._crowd.under_way()
        fitting = [fault for fault in faults if any(self._fits(fault, task, tasks) for task in tasks)]
        if not fitting:
            await asyncio.sleep(0.1)
            return None
        fault, run = await self._first(fitting)
        try:
            struck = fault is not None and await self.strike(fault, run)
        finally:
            await self._instance.books.disarm()
        return fault if struck else None

    async def strike(self, fault: Fault, run: str | None) -> bool:
        """Now, where this run is, or anywhere. False where it came to nothing."""
        hurt = await self._strike(fault, run)
        if hurt:
            self.strikes.append(Strike(fault, [one.run for one in hurt]))
        for one in hurt:
            one.hits.append(fault.part)
        return bool(hurt)

    async def _strike(self, fault: Fault, run: str | None) -> Sequence[Target]:
        """The runs that were under way where it struck; none when it did not."""
        tasks = list(await self._crowd.under_way())
        # One that is cleared just now is under way no more, but its end is still to be recorded.
        at = self._crowd.find(run) if run else None
        if at is not None and at not in tasks:
            tasks.append(at)
        wanted = [at] if fault.moment.step else self._draw.sample(tasks, len(tasks))
        task = next((one for one in wanted if one and self._fits(fault, one, tasks)), None)
        if task is None or not await getattr(self, f"_{fault.part}")(fault, task):
            return []
        return _touched(fault, task, tasks)

    def _fits(self, fault: Fault, task: Target, tasks: Sequence[Target]) -> bool:
        """Whether no run would meet its second rough fault by this."""
        if fault.part not in SESSION:
            return True
        return not any(set(one.hits) & set(ROUGH) for one in _touched(fault, task, tasks))

    async def settle(self) -> None:
        """Every cut wire is mended."""
        await asyncio.gather(*self._mending)

    async def _first(self, faults: Sequence[Fault]) -> tuple[Fault | None, str | None]:
        """The fault whose moment comes first, and the run at that moment. None after a while without any."""
        at = {(one.moment.step, one.moment.side): one for one in faults}
        held = {step for step, side in at if side == "done"}
        seen = {step for step, side in at if side == "recorded"}
        books, clock = self._instance.books, asyncio.get_running_loop().time
        since, anyway = await books.last_recorded(), at.get(("", ""))
        end = clock() + (anyway.moment.delay if anyway else MOMENT_SECONDS)
        await books.arm(held)
        while clock() < end:
            if held and (found := await books.at_gate()) is not None:
                return at.get((found[0], "done")), found[1]
            if seen and (found := await books.recorded(seen, since)) is not None:
                return at[found[0], "recorded"], found[1]
            await asyncio.sleep(POLL_SECONDS)
        return anyway, None

    # -- one for each part ------------------------------------------------------------------------

    async def _worker(self, fault: Fault, task: Target) -> bool:
        """The owner of the run, or of the batch; any, where a batch waits and has none."""
        query = (
            "SELECT owner, false FROM runs WHERE id = %s"
            " UNION ALL SELECT owner, status = 'waiting' FROM batches WHERE id = %s"
        )
        [(owner, waits)] = await self._instance.books.rows(query, task.run, task.run)
        part = self._draw.choice(self._instance.workers) if waits else self._instance.worker_of(owner)
        return part is not None and self._kill(part.name, part.process, fault.pause)

    async def _web(self, fault: Fault, _: Target) -> bool:
        return self._kill("web", self._instance.web.process, fault.pause)

    async def _postgres(self, fault: Fault, _: Target) -> bool:
        return self._kill("postgres", self._instance.postgres.process, fault.pause)

    async def _dockerd(self, fault: Fault, _: Target) -> bool:
        self._instance.dockerd.live_restore = True
        return self._kill("dockerd", self._instance.dockerd.process, fault.pause)

    async def _dockerd_alone(self, fault: Fault, _: Target) -> bool:
        """Without live-restore: started again, the engine stops every container that it finds running."""
        self._instance.dockerd.live_restore = False
        return self._kill("dockerd", self._instance.dockerd.process, fault.pause)

    async def _container(self, _: Fault, task: Target) -> bool:
        return await asyncio.to_thread(self._kill_inside, task, "tini")

    async def _agent(self, _: Fault, task: Target) -> bool:
        return await asyncio.to_thread(self._kill_inside, task, "opencode")

    async def _remote(self, fault: Fault, _: Target) -> bool:
        return await self._cut(self._instance.remote, fault.pause)

    async def _github(self, fault: Fault, _: Target) -> bool:
        return await self._cut(self._instance.github, fault.pause)

    def _kill(self, name: str, process: "subprocess.Popen[bytes] | None", pause: float) -> bool:
        if process is None or process.poll() is not None:
            return False
        self._instance.supervisor.pause[name] = pause
        process.kill()
        return True

    def _kill_inside(self, task: Target, program: str) -> bool:
        """The container's first process, or the agent server below it."""
        client = self._instance.dockerd.client()
        try:
            name = f"opencode-user-{task.member.person.id}-chaos"
            first = psutil.Process(client.containers.get(name).attrs["State"]["Pid"])
            target = (
                first
                if program == "tini"
                else next(one for one in first.children() if program in " ".join(one.cmdline()))
            )
            target.send_signal(signal.SIGKILL)
            return True
        except (APIError, psutil.Error, StopIteration, OSError, ValueError):
            return False
        finally:
            client.close()

    async def _cut(self, wire: Wire, seconds: float) -> bool:
        if not wire.whole:
            return False
        await wire.cut()

        async def mend() -> None:
            await asyncio.sleep(seconds)
            await wire.mend()

        self._mending.add(asyncio.create_task(mend()))
        return True


def _touched(fault: Fault, task: Target, tasks: Sequence[Target]) -> list[Target]:
    """Whom it may matter to: a container is its member's alone, everything else is everybody's."""
    own = fault.part in ("container", "agent")
    return [one for one in tasks if one.member is task.member or not own]
