"""The task list and a change of status at 16 clients, against a bare FastAPI route with the same query."""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx

from benchmarks.parts import database, folder
from benchmarks.table import Figures, Ratio, Series
from engine.db import Database
from openlinear.models import Project, Task
from openlinear.models.columns import now

CLIENTS, REQUESTS, CARDS, ROUNDS = 16, 600, 300, 2
ROOT = Path(__file__).parent.parent
SERVERS = {"ours": ("--factory", "openlinear.api.app:create_api"), "bare": ("benchmarks.bare_api:app",)}
STATUSES = ("todo", "in_progress", "done")

Ask = Callable[[httpx.AsyncClient, int], httpx.Request]


async def measure() -> Figures:
    """Both in turn, so that what the machine does meanwhile meets both."""
    with database() as url, folder("api") as home, _serve("ours", url, home) as ours:
        token, user_id = await _register(ours)
        project_id, cards = await _board(url, user_id)
        asks: dict[str, Ask] = {
            "task list": lambda client, _: client.build_request(
                "GET", "/api/tasks", params={"projectId": project_id}
            ),
            "status change": lambda client, number: client.build_request(
                "PATCH",
                f"/api/tasks/{cards[number % CARDS]}",
                json={"status": STATUSES[(number // CARDS) % len(STATUSES)]},
            ),
        }
        with _serve("bare", url, home) as bare:
            found = {(what, name): Series(f"{what}, {name}", []) for what in asks for name in SERVERS}
            took = dict.fromkeys(found, 0.0)
            for round_ in range(ROUNDS + 1):
                for what, ask in asks.items():
                    for name, base in (("ours", ours), ("bare", bare)):
                        seconds, whole = await _load(base, token, ask)
                        if round_:  # the first warms up
                            found[what, name].seconds.extend(seconds)
                            took[what, name] += whole
    return Figures(
        f"API: {CLIENTS} clients, {CARDS} cards, one process each",
        series=list(found.values()),
        ratios=[Ratio(found[what, "ours"], found[what, "bare"]) for what in asks],
        facts=[
            (f"{series.name}, requests a second", f"{len(series.seconds) / took[key]:.0f}")
            for key, series in found.items()
        ],
    )


async def _load(base: str, token: str, ask: Ask) -> tuple[list[float], float]:
    """Durations of requests sent by 16 clients, each as soon as its last is answered, and of it all."""
    numbers = iter(range(REQUESTS))
    seconds: list[float] = []

    async def one() -> None:
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=base, headers=headers, timeout=30) as client:
            for number in numbers:
                request = ask(client, number)
                began = time.perf_counter()
                answer = await client.send(request)
                seconds.append(time.perf_counter() - began)
                answer.raise_for_status()

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(CLIENTS)))
    return seconds, time.perf_counter() - began


@contextmanager
def _serve(name: str, url: str, home: Path) -> Iterator[str]:
    """A server in a process of its own; its URL."""
    port = 40_000 + secrets.randbelow(20_000)
    environment = {
        **os.environ,
        "DATABASE_URL": url,
        "OPENLINEAR_HOME": str(home),
        "OPENLINEAR_SECRET_KEY": secrets.token_hex(32),
        "JWT_SECRET": secrets.token_hex(32),
        "REQUESTS_PER_MINUTE": "1000000",
        "REQUESTS_PER_MINUTE_PER_ADDRESS": "1000000",
    }
    argv = [sys.executable, "-m", "uvicorn", *SERVERS[name], "--port", str(port), "--no-access-log"]
    process = subprocess.Popen(argv, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}"
    try:
        _wait(f"{base}/api/tasks")
        yield base
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def _wait(url: str) -> None:
    """Until it answers anything."""
    for _ in range(300):
        try:
            httpx.get(url)
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit(f"{url} does not answer")


async def _register(base: str) -> tuple[str, str]:
    body = {"name": "Ada", "email": "ada@example.com", "password": secrets.token_hex(8)}
    async with httpx.AsyncClient(base_url=base) as client:
        answer = (await client.post("/api/auth/register", json=body)).json()
    return answer["token"], answer["user"]["id"]


async def _board(url: str, user_id: str) -> tuple[str, list[str]]:
    """A project with cards."""
    board = Database(url)
    project = Project(user_id=user_id, name="Cart", key="CART", clone_url="demo:x", verified_at=now())
    async with board.transaction() as session:
        session.add(project)
        await session.flush()
        cards = [
            Task(id=uuid4(), project_id=project.id, number=n, title=f"Card {n}", rank=float(n))
            for n in range(CARDS)
        ]
        session.add_all(cards)
    await board.close()
    return str(project.id), [str(card.id) for card in cards]
