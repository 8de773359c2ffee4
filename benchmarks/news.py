"""A run's event, from its row to fifty boards, against a bare Socket.IO room with the same bytes.

An event is written when PostgreSQL has committed it: that moment, by its own record, starts the clock. A
second series starts with the time in the event's row, before writing began. The bare room's clock starts
just before its emit.
"""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from uuid import UUID

import httpx
from sqlalchemy import func, literal_column, select
from sqlmodel import col

from benchmarks.bare_room import PLACE
from benchmarks.parts import database, folder
from benchmarks.table import Figures, Ratio, Series
from engine.db import Database
from engine.models import Run, RunEvent, now
from engine.record import Entry
from openlinear import frontend, processes
from openlinear.models import Project, Task
from openlinear.settings import Settings
from tests.support.engine import recorder_of

CLIENTS, RATE, SECONDS, CARDS = 50, 20, 60, 1000
EVENTS = RATE * SECONDS
ROOT = Path(__file__).parent.parent
NUMBERED = re.compile(r"(?:news|bare) (\d{6})")


async def measure() -> Figures:
    frontend.build()
    with (
        database(track_commit_timestamp="on") as url,
        folder("news") as home,
        _web(url, home) as site,
        _bare_room() as bare,
    ):
        cookie, user_id = await _register(site)
        db = Database(url)
        run = await _board(db, user_id)
        out = home / "frames.json"
        path = f"/p/{run.project_id}"
        async with _browsers(out, site, bare, path, cookie):
            await _write_events(db, run.id)
        (written, begun), sent = await _times(db, run.id), (await asyncio.to_thread(httpx.get, bare)).json()
        await db.close()
        frames = json.loads(out.read_text())
    ours, floor = _delays(frames["ours"], written), _delays(frames["bare"], dict(enumerate(sent)))
    mine, theirs = Series("run event, committed → 50 boards", ours), Series("bare room, same bytes", floor)
    whole = Series("run event, before it is written → 50 boards", _delays(frames["ours"], begun))
    expected = EVENTS * CLIENTS
    size = sum(length for _, _, length, _ in frames["ours"]) / expected
    bare_size = sum(length for _, _, length, _ in frames["bare"]) / expected
    return Figures(
        f"News: {RATE} events a second for {SECONDS} s, {CLIENTS} clients, a board of {CARDS:,} cards",
        [mine, whole, theirs],
        [Ratio(mine, theirs, 2.0, "p95")],
        [
            (
                "deliveries",
                f"{len(ours):,} of {EVENTS * CLIENTS:,}; bare {len(floor):,} of {EVENTS * CLIENTS:,}",
            ),
            ("bytes per event and client", f"{size:.0f} (asked: at most 1,024); bare {bare_size:.0f}"),
        ],
    )


def _delays(frames: list[tuple[int, float, int, str]], began: dict[int, float]) -> list[float]:
    """Seconds to each delivery; a repeat of one is none."""
    first: dict[tuple[int, int], float] = {}
    for client, at, _, text in frames:
        if found := NUMBERED.search(text):
            first.setdefault((client, int(found[1])), at)
    return [at - began[number] for (_, number), at in first.items() if number in began]


async def _write_events(db: Database, run_id: UUID) -> None:
    """One to begin with, whose frame the bare room repeats, then the measured ones."""
    recorder = recorder_of(db, run_id)
    began = time.monotonic()
    for number in range(EVENTS + 1):
        await asyncio.sleep(began + number / RATE - time.monotonic())
        name = f"news {number:06}"
        line = f"{name}: python -m pytest tests/unit -q"
        entry = Entry("tool", name, "running", line, details={"tool": "bash"})
        await recorder.write([entry], status="executing", message=line, progress=40)
    await asyncio.sleep(2)


async def _times(db: Database, run_id: UUID) -> tuple[dict[int, float], dict[int, float]]:
    """When each event was committed, and when its row was made."""
    async with db.transaction() as session:
        committed = func.pg_xact_commit_timestamp(literal_column("run_events.xmin"))
        query = select(col(RunEvent.part), col(RunEvent.time), committed)
        rows = (await session.execute(query.where(col(RunEvent.run_id) == run_id))).all()
    numbered = [(int(part.split(" ")[1]), made, written) for part, made, written in rows if part != PLACE]
    return (
        {number: written.timestamp() for number, _, written in numbered},
        {number: made.timestamp() for number, made, _ in numbered},
    )


async def _board(db: Database, user_id: UUID) -> Run:
    """A board of many cards, one of them running."""
    project = Project(
        user_id=user_id,
        name="Large",
        key="LARGE",
        clone_url="https://example.com/large.git",
        default_branch="main",
        task_counter=CARDS,
        verified_at=now(),
    )
    tasks = [
        Task(
            project_id=project.id,
            number=number,
            title=f"Task {number} of a board that is as full as a team's",
            status=("todo", "in_progress", "done", "cancelled")[number % 4],
            rank=float(number),
        )
        for number in range(1, CARDS + 1)
    ]
    run = Run(
        task_id=tasks[0].id,
        project_id=project.id,
        user_id=user_id,
        title=tasks[0].title,
        prompt=tasks[0].title,
        author_name="Ada Lovelace",
        author_email="ada@example.org",
        base_branch="main",
        branch=f"openlinear/{tasks[0].id}",
        status="executing",
    )
    for rows in ([project], tasks, [run]):
        async with db.transaction() as session:
            session.add_all(rows)
    return run


async def _register(site: str) -> tuple[str, UUID]:
    body = {"name": "Ada Lovelace", "email": "ada@example.org", "password": "correct horse battery"}
    async with httpx.AsyncClient(base_url=site) as http:
        answer = (await http.post("/api/auth/register", json=body)).raise_for_status()
        cookie = "; ".join(f"{name}={value}" for name, value in answer.cookies.items())
        return cookie, UUID(answer.json()["user"]["id"])


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def _web(url: str, home: Path) -> Iterator[str]:
    """The product's web process."""
    port = _free_port()
    site = f"http://localhost:{port}"
    env = os.environ | {
        "DATABASE_URL": url,
        "JWT_SECRET": "0123456789abcdef" * 4,
        "OPENLINEAR_SECRET_KEY": "fedcba9876543210" * 4,
        "OPENLINEAR_HOME": str(home),
        "API_PORT": str(port),
        "PUBLIC_URL": site,
    }
    command = processes.web(Settings(api_port=port, openlinear_home=home), env)
    with (home / "web.log").open("wb") as log:
        server = command.start(log, on_orphan=signal.SIGKILL)
    try:
        _wait(f"{site}/health")
        yield site
    finally:
        server.terminate()
        server.wait(10)


@contextmanager
def _bare_room() -> Iterator[str]:
    port = _free_port()
    argv = [sys.executable, "-m", "benchmarks.bare_room", str(port), str(RATE), str(EVENTS)]
    server = subprocess.Popen(argv, cwd=ROOT)
    try:
        _wait(f"http://127.0.0.1:{port}/")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


def _wait(url: str) -> None:
    for _ in range(300):
        try:
            httpx.get(url)
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"{url} does not answer")


@asynccontextmanager
async def _browsers(out: Path, site: str, bare: str, path: str, cookie: str) -> AsyncIterator[None]:
    """The clients, connected and joined; when the block ends they have written what came."""
    argv = [sys.executable, "-m", "benchmarks.browsers", str(out), site, bare, path, cookie, str(CLIENTS)]
    clients = await asyncio.create_subprocess_exec(
        *argv, cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert clients.stdin and clients.stdout
    try:
        async with asyncio.timeout(300):
            if await clients.stdout.readline() != b"ready\n":
                raise SystemExit("The browsers could not connect.")
        yield
    finally:
        clients.stdin.close()
        await clients.wait()
