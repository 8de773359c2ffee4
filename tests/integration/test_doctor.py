"""`openlinear doctor` on worlds that are broken in one way each, and on a good one."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import docker
import pytest

from engine.client import Engine
from engine.db import Database
from engine.models import Run, Worker, now
from engine.sandbox import container as spec
from engine.settings import EngineSettings
from openlinear import db, vault
from openlinear.doctor import Finding, as_json, as_text, examine
from openlinear.doctor import database as database_checks
from openlinear.embedded import EmbeddedPostgres
from openlinear.models import Project, Provider, User
from openlinear.services.views import Actor
from tests.support.engine import new_run
from tests.support.stack import free_port

JWT, KEY = "0123456789abcdef" * 4, "fedcba9876543210" * 4


@pytest.fixture
def home(tmp_path: Path) -> Path:
    place = tmp_path / "home"
    place.mkdir(mode=0o700)
    return place


@pytest.fixture
def world(database: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A migrated database, strong keys, a private home, a free port, and no Docker."""
    values = {
        "DATABASE_URL": database,
        "OPENLINEAR_HOME": str(home),
        "JWT_SECRET": JWT,
        "OPENLINEAR_SECRET_KEY": KEY,
        "API_PORT": str(free_port()),
        "SANDBOX": "docker",
        "DOCKER_HOST": "unix:///nonexistent/docker.sock",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    for name in ("METRICS_TOKEN", "PUBLIC_URL", "API_HOST", "ALLOW_LOCAL_REMOTES"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


async def found() -> dict[str, Finding]:
    return {finding.name: finding for finding in await examine()}


async def alive(database: Database, name: str = "main", silent: float = 0) -> None:
    async with database.transaction() as session:
        seen = now() - timedelta(seconds=silent)
        session.add(Worker(id=f"{name}:1", name=name, version="1", seen_at=seen, sandbox="docker"))


def sick(finding: Finding, level: str, *words: str) -> None:
    assert finding.level == level, finding
    assert finding.cure, "what is wrong has a cure"
    for word in words:
        assert word in finding.text + finding.cure, finding


def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-m", "openlinear.cli", "doctor", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


# -- a good world -----------------------------------------------------------------------------------


async def test_a_good_world_has_no_error(world: pytest.MonkeyPatch, engine_database: Database) -> None:
    await alive(engine_database)
    world.setenv("SANDBOX", "process")
    findings = await found()
    errors = {name: one for name, one in findings.items() if one.level == "error"}
    assert errors == {}
    for name in ("Python", "Git", "Home", "Disk", "Keys", "Database", "Tables", "Clock", "Workers", "Queue"):
        assert findings[name].level == "ok", findings[name]
        assert not findings[name].cure
    done = command("--json")
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert said["ok"] is True
    assert {check["name"] for check in said["checks"]} == set(findings)


async def test_nothing_is_changed_by_looking(world: pytest.MonkeyPatch, tmp_path: Path) -> None:
    world.setenv("OPENLINEAR_HOME", str(tmp_path / "none"))
    await found()
    assert not (tmp_path / "none").exists()


# -- one thing broken each --------------------------------------------------------------------------


@pytest.fixture
def open_home(home: Path) -> Path:
    home.chmod(0o755)
    return home


async def test_an_open_home(world: pytest.MonkeyPatch, open_home: Path) -> None:
    sick((await found())["Home"], "warning", "0755", f"{open_home}", "chmod")
    (open_home / "secrets").mkdir()
    sick((await found())["Home"], "error", "0755", f"{open_home}", "chmod")


async def test_a_key_that_others_may_read(world: pytest.MonkeyPatch, home: Path) -> None:
    world.delenv("JWT_SECRET")
    (home / "secrets").mkdir()
    (home / "secrets" / "jwt_secret").write_text(JWT)
    (home / "secrets" / "jwt_secret").chmod(0o644)
    sick((await found())["Keys"], "error", "chmod 600")


async def test_a_key_that_is_missing_from_a_used_database(world: pytest.MonkeyPatch) -> None:
    world.delenv("OPENLINEAR_SECRET_KEY")
    sick((await found())["Keys"], "error", "OPENLINEAR_SECRET_KEY")


async def test_a_weak_key(world: pytest.MonkeyPatch) -> None:
    world.setenv("OPENLINEAR_SECRET_KEY", "hunter2")
    done = command()
    assert done.returncode == 1
    assert "OPENLINEAR_SECRET_KEY is too weak" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr


async def test_a_setting_that_cannot_be(world: pytest.MonkeyPatch) -> None:
    world.setenv("API_PORT", "90000")
    world.setenv("JWT_SECRET", "hunter2")
    findings = await examine()
    settings = [finding for finding in findings if finding.name == "Settings"]
    assert sorted(finding.text.split(":")[0] for finding in settings) == ["API_PORT", "JWT_SECRET"]
    assert "Database" in {finding.name for finding in findings}, "the other checks are made all the same"
    assert "hunter2" not in as_text(findings)


async def test_a_database_that_is_away(world: pytest.MonkeyPatch) -> None:
    world.setenv("DATABASE_URL", f"postgresql://ol:sesame-sesame@127.0.0.1:{free_port()}/ol")
    done = command()
    assert done.returncode == 1
    assert re.search(r"^error +Database .*does not answer: .*refused", done.stdout, re.MULTILINE), done.stdout
    assert "sesame" not in done.stdout + done.stderr
    assert "Workers" not in done.stdout, "what needs the database says nothing without it"


async def test_a_database_url_that_is_none(world: pytest.MonkeyPatch) -> None:
    world.setenv("DATABASE_URL", "postgres+odd://ol:sesame-sesame@db.example.org/ol")
    findings = await examine()
    [database] = [finding for finding in findings if finding.name == "Database"]
    sick(database, "error", "DATABASE_URL")
    assert "sesame" not in as_text(findings) + as_json(findings)
    assert not [finding for finding in findings if "looked at" in finding.text], findings


async def test_a_database_without_tables(world: pytest.MonkeyPatch, empty_database: str) -> None:
    world.setenv("DATABASE_URL", empty_database)
    findings = await found()
    assert findings["Database"].level == "ok"
    sick(findings["Tables"], "error", "none", "openlinear migrate")


async def test_a_database_of_another_version(world: pytest.MonkeyPatch, engine_database: Database) -> None:
    async with engine_database.pool.begin() as connection:
        await connection.exec_driver_sql("COMMENT ON SCHEMA dbos IS 'openlinear of old'")
    sick((await found())["Tables"], "error", "another version", "openlinear migrate")


async def test_a_clock_that_goes_wrong(world: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = SimpleNamespace(time=lambda: now().timestamp() + 60)
    monkeypatch.setattr(database_checks, "time", ahead)
    sick((await found())["Clock"], "error", "60 s behind")


async def test_another_installations_key(world: pytest.MonkeyPatch, engine_database: Database) -> None:
    old = "89abcdef01234567" * 4
    sealed = vault._keys(old, "provider").encrypt(b"sk-1").decode()
    async with engine_database.transaction() as session:
        user = User(name="Ada", username="ada", email="ada@example.org")
        session.add(user)
        await session.flush()
        session.add(Provider(user_id=user.id, provider_id="demo", key_secret=sealed, models=[]))
    sick((await found())["Sealed"], "error", "does not open")
    world.setenv("OPENLINEAR_SECRET_KEY", f"{KEY},{old}")
    findings = await found()
    assert (findings["Sealed"].level, findings["Keys"].level) == ("ok", "ok")


async def test_docker_that_is_away(world: pytest.MonkeyPatch) -> None:
    sick((await found())["Sandbox"], "error", "Docker", "Start it")


async def test_a_container_that_ended(world: pytest.MonkeyPatch, worker_image: str) -> None:
    world.delenv("DOCKER_HOST")
    world.setenv("INSTALLATION", installation := f"doctor-{uuid4().hex[:8]}")
    labels = spec.labels(EngineSettings(installation=installation))
    container = docker.from_env().containers.run(
        worker_image, entrypoint="true", labels=labels, network_mode="none", detach=True
    )
    try:
        container.wait()
        findings = await found()
    finally:
        container.remove(force=True)
    assert findings["Sandbox"].level == "ok"
    assert re.search(r"Docker \d+\.\S+, storage \w+, cgroup [12]", findings["Sandbox"].text)
    assert findings["Image"].level == "ok"
    sick(findings["Containers"], "warning", container.name)
    assert (await found())["Containers"].level == "ok"


async def test_an_image_that_is_missing(world: pytest.MonkeyPatch, worker_image: str) -> None:
    world.delenv("DOCKER_HOST")
    world.setenv("OPENCODE_IMAGE", "openlinear-none:none")
    sick((await found())["Image"], "error", "openlinear-none:none", "openlinear up")


async def test_no_worker_while_a_run_waits(
    world: pytest.MonkeyPatch, engine_database: Database, engine_client: Engine
) -> None:
    sick((await found())["Workers"], "warning", "No engine worker")
    await press(engine_database, engine_client)
    sick((await found())["Workers"], "error", "openlinear up")


async def test_a_worker_that_died(world: pytest.MonkeyPatch, engine_database: Database) -> None:
    await alive(engine_database, "w1")
    await alive(engine_database, "w2", silent=7200)
    sick((await found())["Workers"], "warning", "1 alive", "w2 (2 h)")


async def test_a_queue_that_stands_still(
    world: pytest.MonkeyPatch, engine_database: Database, engine_client: Engine
) -> None:
    await alive(engine_database)
    await press(engine_database, engine_client, created_at=now() - timedelta(seconds=300))
    sick((await found())["Queue"], "error", "1 runs wait", "Restart")
    world.setenv("WORKER_CONCURRENCY", "1")
    moving = now() - timedelta(seconds=5)
    await press(engine_database, engine_client, started_at=moving, status="executing")
    sick((await found())["Queue"], "warning", "Every worker is full")


async def test_a_run_that_stands_still(
    world: pytest.MonkeyPatch, engine_database: Database, engine_client: Engine
) -> None:
    long_ago = now() - timedelta(hours=2)
    still = await press(engine_database, engine_client, started_at=long_ago, status="executing")
    await press(engine_database, engine_client, started_at=long_ago, status="waiting")
    await press(engine_database, engine_client, started_at=now(), status="cloning")
    finding = (await found())["Runs"]
    sick(finding, "warning", str(still))
    assert len(re.findall(r"[0-9a-f-]{36}", finding.text)) == 1


@pytest.fixture
def squatter() -> Iterator[int]:
    """A port with another program behind it, which says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=lambda: _refuse_all(server), daemon=True).start()
        yield server.getsockname()[1]


def _refuse_all(server: socket.socket) -> None:
    while True:
        try:
            server.accept()[0].close()
        except OSError:
            return


async def test_a_port_that_is_taken(world: pytest.MonkeyPatch, squatter: int) -> None:
    world.setenv("API_PORT", str(squatter))
    sick((await found())["Port"], "error", str(squatter), "API_PORT")


async def test_the_port_is_ours(world: pytest.MonkeyPatch, served: str) -> None:
    world.setenv("API_PORT", served.rpartition(":")[2])
    findings = await found()
    assert findings["Port"].level == "ok"
    assert "OpenLinear" in findings["Port"].text
    sick(findings["Workers"], "error", "No engine worker")


@pytest.mark.parametrize(
    ("host", "public", "level"),
    [
        ("127.0.0.1", "", "ok"),
        ("127.0.0.1", "https://board.example.org", "ok"),
        ("127.0.0.1", "http://board.example.org", "error"),
        ("0.0.0.0", "", "error"),
        ("0.0.0.0", "https://board.example.org", "ok"),
    ],
)
async def test_plain_text_on_the_network(
    world: pytest.MonkeyPatch, host: str, public: str, level: str
) -> None:
    world.setenv("API_HOST", host)
    world.setenv("PUBLIC_URL", public)
    assert (await found())["Exposure"].level == level


@pytest.mark.parametrize(
    ("host", "mode", "level"),
    [
        ("127.0.0.1", "", "ok"),
        ("0.0.0.0", "", "ok"),
        ("0.0.0.0", "open", "warning"),
        ("0.0.0.0", "closed", "ok"),
    ],
)
async def test_who_may_make_an_account(world: pytest.MonkeyPatch, host: str, mode: str, level: str) -> None:
    world.setenv("API_HOST", host)
    world.setenv("REGISTRATION", mode)
    assert (await found())["Registration"].level == level


async def test_remotes_that_do_not_answer(world: pytest.MonkeyPatch, ada: Actor, served: str) -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    async with db.transaction() as session:
        session.add(_project(ada, f"{served}/acme/cart.git"))
    assert "Reach" not in await found(), "nobody is asked unless that is wanted"
    reach = {finding.name: finding for finding in await examine(ask_remotes=True)}["Reach"]
    assert reach.level == "ok", reach
    async with db.transaction() as session:
        session.add(_project(ada, f"http://ada:sesame@{gone.removeprefix('http://')}/acme/cart.git"))
    reach = {finding.name: finding for finding in await examine(ask_remotes=True)}["Reach"]
    sick(reach, "error", gone, "refused")
    assert served not in reach.text
    assert "sesame" not in reach.text


def _project(actor: Actor, url: str) -> Project:
    return Project(user_id=actor.id, name="Cart", key=uuid4().hex[:4].upper(), clone_url=url)


async def test_the_embedded_database_up_and_down(world: pytest.MonkeyPatch) -> None:
    world.delenv("DATABASE_URL")
    # Root's server is another user's, who may not pass through pytest's own folders.
    home = Path(tempfile.mkdtemp(prefix="openlinear-doctor-", dir="/tmp"))
    world.setenv("OPENLINEAR_HOME", str(home))
    server = EmbeddedPostgres(home, {"fsync": "off"})
    try:
        sick((await found())["Database"], "warning", "not been made")
        server.start()
        up = (await found())["Database"]
        server.stop()
        sick((await found())["Database"], "warning", "not running", "openlinear up")
    finally:
        server.stop()
        shutil.rmtree(home)
    assert up.level == "ok"
    assert "Embedded PostgreSQL 18" in up.text


async def test_a_check_that_breaks_hides_no_other(
    world: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_checks.schema, "current", lambda url: 1 / 0)
    findings = await found()
    assert findings["Tables"].level == "warning"
    assert "ZeroDivisionError" in findings["Tables"].text
    assert findings["Clock"].level == "ok"


async def test_no_secret_is_told(world: pytest.MonkeyPatch, engine_database: Database) -> None:
    world.setenv("METRICS_TOKEN", "d0be2dc421be4fcd0172e5afceea3970e2f3d940")
    await alive(engine_database)
    findings = await examine(ask_remotes=True)
    told = as_text(findings) + as_json(findings)
    for name in ("JWT_SECRET", "OPENLINEAR_SECRET_KEY", "METRICS_TOKEN"):
        assert os.environ[name] not in told


async def press(database: Database, engine: Engine, **columns: object) -> object:
    async with database.transaction() as session:
        run_id = await engine.start(session, new_run(uuid4()), 3)
        run = await session.get_one(Run, run_id)
        for name, value in columns.items():
            setattr(run, name, value)
    return run_id
