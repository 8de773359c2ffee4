"""What `/metrics` says after real runs and requests, and to whom."""

import asyncio
import contextlib
import json
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import delete
from sqlmodel import col

from engine import metrics
from engine.client import Engine
from engine.db import Database
from engine.metrics import CONTAINER_STARTS, STEP_SECONDS, Totals
from engine.models import Run
from engine.ownership import Hold
from engine.record import Entry, Recorder
from openlinear import processes
from openlinear.api import metrics as route
from openlinear.api.app import create_api
from openlinear.metrics import Meter, rendered, sockets
from openlinear.resources import CHECKOUT
from openlinear.services.views import Actor, ProjectView
from openlinear.settings import get_settings
from tests.support.engine import new_run
from tests.support.product import PASSWORD
from tests.support.sight import WorkerProcess
from tests.support.stack import free_port

TOKEN = "b6589fc6ab0dc82cf12099d1c2d40ab994e8410c"
STEPS_DONE = "openlinear_step_duration_seconds_count"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing counted yet, and no answer remembered."""
    monkeypatch.setattr(metrics.totals, "_fresh", type(metrics.totals._fresh)(float))
    route._exposition.cache_clear()
    yield
    route._exposition.cache_clear()


@pytest.fixture
def token(product: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_TOKEN", TOKEN)
    get_settings.cache_clear()


def parsed(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def at(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, tuple(sorted(labels.items()))))


async def scraped(api: httpx.AsyncClient) -> Samples:
    route._exposition.cache_clear()
    answer = await api.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200, answer.text
    return parsed(answer.text)


# -- what it says -----------------------------------------------------------------------------------


async def test_requests_are_counted_by_template(api: httpx.AsyncClient, token: None) -> None:
    for _ in range(3):
        await api.get(f"/api/tasks/{uuid4()}")
    await api.get("/api/secret-project-name")
    await api.request("BREW", "/api/tasks")
    samples = await scraped(api)
    name = "openlinear_http_requests_total"
    assert at(samples, name, method="GET", route="/api/tasks/{task_id}", status="401") == 3
    assert at(samples, name, method="GET", route="/api/*", status="404") == 1
    seconds = "openlinear_http_request_duration_seconds"
    assert at(samples, f"{seconds}_count", route="/api/tasks/{task_id}") == 3
    assert at(samples, f"{seconds}_bucket", route="/api/tasks/{task_id}", le="+Inf") == 3
    assert not any("secret" in str(labels) or "BREW" in str(labels) for _, labels in samples)


async def test_real_runs(
    api: httpx.AsyncClient,
    token: None,
    database: str,
    engine_database: Database,
    engine_client: Engine,
    tmp_path: Path,
) -> None:
    async with engine_database.transaction() as session:
        for _ in range(3):
            await engine_client.start(session, new_run(uuid4(), title="Titles are nobody's label"), 3)
    await asyncio.sleep(0.05)
    before = await scraped(api)
    assert at(before, "openlinear_queue_runs") == 3
    assert 0.04 < (at(before, "openlinear_queue_oldest_seconds") or 0) < 30
    assert at(before, "openlinear_runs", state="queued") == 3
    assert at(before, "openlinear_workers", state="unable") == 0
    worker = WorkerProcess(database, tmp_path)
    try:
        async with asyncio.timeout(60):
            while at(now := await scraped(api), STEPS_DONE, step="clear", result="ok") != 3:
                await asyncio.sleep(0.1)
        assert at(now, "openlinear_runs", state="failed") == 3
        assert at(now, "openlinear_workers", state="unable") == 1, "it lives, but has no image"
    finally:
        worker.stop()
    after = await scraped(api)
    assert at(after, "openlinear_queue_runs") == 0
    name = "openlinear_step_duration_seconds"
    assert at(after, f"{name}_count", step="finish", result="ok") == 3
    assert at(after, f"{name}_count", step="prepare", result="failed") == 3
    assert 0 < (at(after, f"{name}_sum", step="finish", result="ok") or 0) < 60
    failures = [v for (n, _), v in after.items() if n == "openlinear_step_failures_total"]
    assert sum(failures) == 3
    ends = {labels: v for (n, labels), v in after.items() if n == "openlinear_run_ends_total"}
    assert sum(ends.values()) == 3
    assert {dict(labels)["status"] for labels in ends} == {"failed"}
    assert at(after, "openlinear_workers", state="able") == 0
    assert not any("Titles" in str(labels) for _, labels in after)
    async with engine_database.transaction() as session:
        await session.execute(delete(Run).where(col(Run.ended_at).is_not(None)))
    assert at(await scraped(api), f"{name}_count", step="finish", result="ok") == 3, "it never shrinks"


async def test_how_late_events_are(
    served: str,
    token: None,
    ada: Actor,
    project: ProjectView,
    engine_database: Database,
    engine_client: Engine,
) -> None:
    async with engine_database.transaction() as session:
        run = new_run(ada.id, project_id=project.id)
        hold = Hold(await engine_client.start(session, run, 3), 0)
        recorder = Recorder(engine_database, hold)
    async with httpx.AsyncClient(base_url=served) as http, following(http, ada) as events:
        await recorder.write([Entry("status", "a", message="A line that somebody follows")])
        async with asyncio.timeout(10):
            while not (await anext(events)).startswith("data:"):
                pass
            # What is counted after the frame has left may not be counted yet.
            while not at(now := await scraped(http), "openlinear_event_lag_seconds_count", way="stream"):
                await asyncio.sleep(0.05)
    for way in ("read", "stream"):
        assert at(now, "openlinear_event_lag_seconds_count", way=way) == 1
        assert 0 < (at(now, "openlinear_event_lag_seconds_sum", way=way) or 0) < 10
    assert at(now, "openlinear_web_processes") == 1


@contextlib.asynccontextmanager
async def following(http: httpx.AsyncClient, actor: Actor) -> AsyncIterator[Any]:
    answer = await http.post("/api/auth/login", json={"email": actor.email, "password": PASSWORD})
    http.cookies.clear()
    bearer = {"Authorization": f"Bearer {answer.json()['token']}"}
    async with http.stream("GET", "/api/events", headers=bearer) as stream:
        lines = stream.aiter_lines()
        assert await anext(lines) == ": connected"
        yield lines


async def test_open_websockets() -> None:
    going, gone = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        going.set()
        await gone.wait()
        raise ConnectionError

    before = sockets.open
    connection = asyncio.create_task(Meter(app)({"type": "websocket"}, None, None))  # type: ignore[arg-type]
    await going.wait()
    assert sockets.open == before + 1
    gone.set()
    with pytest.raises(ConnectionError):
        await connection
    assert sockets.open == before


async def test_many_processes_at_once_lose_nothing(engine_database: Database) -> None:
    async def process(number: int) -> None:
        mine = Totals()
        for turn in range(20):
            mine.count(CONTAINER_STARTS, sandbox=("docker", "process")[(number + turn) % 2])
            mine.observe(STEP_SECONDS, 0.2, step=f"s{(number * 7 + turn) % 5}", result="ok")
            mine.observe(STEP_SECONDS, 9000, step="s0", result="ok")
            async with engine_database.transaction() as session:
                await mine.hand_in(session)

    await asyncio.gather(*(process(number) for number in range(8)))
    async with engine_database.transaction() as session:
        samples = parsed(rendered("1", await metrics.read(session, 15.0)).decode())
    starts = [v for (n, _), v in samples.items() if n == "openlinear_container_starts_total"]
    assert starts == [80, 80]
    counts = [v for (n, _), v in samples.items() if n == "openlinear_step_duration_seconds_count"]
    assert sum(counts) == 320
    s0 = {"step": "s0", "result": "ok"}
    name = "openlinear_step_duration_seconds_bucket"
    below, all_of_them = at(samples, name, **s0, le="3600.0"), at(samples, name, **s0, le="+Inf")
    assert (all_of_them or 0) - (below or 0) == 160
    assert at(samples, name, **s0, le="0.1") == 0
    assert at(samples, name, **s0, le="0.25") == below


async def test_what_an_outage_kept_back_comes_later(engine_database: Database) -> None:
    mine, away = Totals(), Database("postgresql+psycopg://nobody@127.0.0.1:1/none")
    mine.count(CONTAINER_STARTS, sandbox="docker")
    await mine.last(away)
    await mine.last(engine_database)
    async with engine_database.transaction() as session:
        reading = await metrics.read(session, 15.0)
    assert [value for (name, _, _), value in reading.totals.items() if name == CONTAINER_STARTS] == [1]


def test_nothing_is_counted_by_labels_that_are_not_declared() -> None:
    with pytest.raises(ValueError, match="counted by"):
        Totals().count(CONTAINER_STARTS, user="ada")


async def test_the_example_alerts_name_what_there_is(engine_database: Database) -> None:
    async with engine_database.transaction() as session:
        text = rendered("1", await metrics.read(session, 15.0)).decode()
    families = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    samples = families | {f"{name}{suffix}" for name in families for suffix in ("_bucket", "_count", "_sum")}
    alerts = yaml.safe_load((CHECKOUT / "docs" / "alerts.yml").read_text())
    rules = [rule for group in alerts["groups"] for rule in group["rules"]]
    assert len(rules) >= 5
    for rule in rules:
        named = set(re.findall(r"openlinear_\w+", rule["expr"]))
        assert named, rule
        assert named <= samples, rule


# -- to whom ----------------------------------------------------------------------------------------


async def asked(
    monkeypatch: pytest.MonkeyPatch,
    *,
    public: str = "http://localhost:3001",
    host: str = "localhost:3001",
    client: str = "127.0.0.1",
    configured: str = "",
    **headers: str,
) -> int:
    monkeypatch.setenv("PUBLIC_URL", public)
    monkeypatch.setenv("METRICS_TOKEN", configured)
    get_settings.cache_clear()
    transport = httpx.ASGITransport(create_api(), client=(client, 5000))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as http:
        sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        return (await http.get("/metrics", headers=sent)).status_code


async def test_without_a_token_this_machine_alone(product: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await asked(monkeypatch) == 200
    assert await asked(monkeypatch, host="127.0.0.1:3001") == 200
    assert await asked(monkeypatch, client="::1", host="[::1]:3001") == 200
    assert await asked(monkeypatch, client="10.0.0.9") == 403
    assert await asked(monkeypatch, x_forwarded_for="127.0.0.1") == 403
    assert await asked(monkeypatch, forwarded="for=127.0.0.1") == 403
    assert await asked(monkeypatch, origin="http://localhost:3000") == 403
    assert await asked(monkeypatch, host="rebound.example.org") == 403
    assert await asked(monkeypatch, public="https://board.example.org") == 403


async def test_with_a_token_who_knows_it(product: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    away = {"client": "10.0.0.9", "public": "https://board.example.org", "host": "board.example.org"}
    assert await asked(monkeypatch, configured=TOKEN) == 401, "this machine too"
    assert await asked(monkeypatch, configured=TOKEN, authorization="Bearer wrong") == 401
    assert await asked(monkeypatch, configured=TOKEN, authorization="Bearer wr\xf6ng") == 401
    assert await asked(monkeypatch, configured=TOKEN, authorization=f"Basic {TOKEN}") == 401
    assert await asked(monkeypatch, configured=TOKEN, authorization=f"Bearer {TOKEN}", **away) == 200


# -- the web server's log ---------------------------------------------------------------------------


async def test_the_web_servers_log_is_json_too(
    product: Engine, ada: Actor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("ACCESS_LOG", "true")
    monkeypatch.setenv("API_PORT", str(port))
    get_settings.cache_clear()
    command = processes.web(get_settings(), {})
    argv = [one.replace("openlinear.openlinear:app", "openlinear.api.app:create_api") for one in command.argv]
    monkeypatch.setenv("LOG_FORMAT", "json")
    monkeypatch.setenv("OPENLINEAR_HOME", str(tmp_path))
    with (tmp_path / "web.log").open("wb") as log:
        server = await asyncio.create_subprocess_exec(*argv, stdout=log, stderr=subprocess.STDOUT)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            async with asyncio.timeout(30):
                while True:
                    with contextlib.suppress(httpx.ConnectError):
                        await http.get("/health")
                        break
                    await asyncio.sleep(0.1)
            body = {"email": ada.email, "password": PASSWORD}
            bearer = (await http.post("/api/auth/login", json=body)).json()["token"]
            http.cookies.clear()
            answer = await http.get("/api/tasks?secret=1", headers={"Authorization": f"Bearer {bearer}"})
            assert answer.status_code < 500
    finally:
        server.terminate()
        await server.wait()
    lines = [json.loads(line) for line in (tmp_path / "web.log").read_text().splitlines()]
    access = [
        line for line in lines if line["logger"] == "uvicorn.access" and "/api/tasks" in line["message"]
    ]
    assert [line["user_id"] for line in access] == [str(ada.id)]
    assert "secret=1" not in access[0]["message"]
    assert {line["process"] for line in lines} == {"web"}
