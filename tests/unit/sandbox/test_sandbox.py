"""What the sandboxes decide without an engine: names, limits, versions, choices."""

import asyncio
import io
import json
import re
import subprocess
import time
import uuid
from pathlib import Path

import pytest

from engine.errors import RunError
from engine.sandbox import container as spec
from engine.sandbox import daemonized, image, opencode
from engine.sandbox.choose import choose
from engine.sandbox.daemon import Daemon
from engine.sandbox.docker_state import _unix
from engine.sandbox.helper import helper_name
from engine.sandbox.output import Output
from engine.sandbox.process import ProcessSandbox
from engine.sandbox.reaper import carriers, reap
from engine.sandbox.server import server_password
from engine.settings import EngineSettings
from tests.support.sandbox import silent

USER = uuid.UUID("00000000-0000-4000-8000-000000000001")


def settings(**changes: object) -> EngineSettings:
    return EngineSettings(**{"openlinear_secret_key": "a key", **changes})


def test_names_are_those_of_the_design_and_tell_installations_apart() -> None:
    assert spec.container_name(settings(), USER) == f"opencode-user-{USER}"
    assert spec.network_name(settings()) == "openlinear"
    assert f"opencode-auth-{USER}" in spec.volumes(settings(), USER)
    other = settings(installation="second")
    assert spec.container_name(other, USER) == f"opencode-user-{USER}-second"
    assert not set(spec.volumes(settings(), USER)) & set(spec.volumes(other, USER))


def test_the_spec_changes_with_limits_image_and_network() -> None:
    def label(image_id: str = "sha256:1", network: str = "n", **changes: object) -> str:
        return spec.container_spec(settings(**changes), USER, image_id, network)["labels"]["spec"]

    digests = [label(), label("sha256:2"), label(network="m"), label(container_memory_mb=1024)]
    assert len(set(digests)) == 4
    assert label() == label()


def test_with_a_policy_no_port_is_published_and_without_one_it_is_on_loopback() -> None:
    held = spec.container_spec(settings(), USER, "i", "n")
    assert "ports" not in held
    assert held["dns"] == ["127.0.0.1"]
    assert held["environment"]["https_proxy"] == "http://127.0.0.1:3128"
    free = spec.container_spec(settings(egress="off"), USER, "i", "n")
    assert free["ports"] == {"4096/tcp": ("127.0.0.1", "30000-31000")}
    assert not free.keys() & {"dns", "environment", "entrypoint"}
    assert [mount["Target"] for mount in held["mounts"] if mount not in free["mounts"]] == ["/run/egress"]


def test_the_host_is_named_only_where_local_remotes_are_allowed() -> None:
    assert spec.container_spec(settings(), USER, "i", "n")["extra_hosts"] == {}
    allowed = spec.container_spec(settings(allow_local_remotes=True), USER, "i", "n")
    assert allowed["extra_hosts"] == {"host.docker.internal": "host-gateway"}


def test_passwords_differ_by_key_user_and_container() -> None:
    passwords = {
        server_password(settings(), USER, "a"),
        server_password(settings(), USER, "b"),
        server_password(settings(), uuid.uuid4(), "a"),
        server_password(settings(openlinear_secret_key="another"), USER, "a"),
    }
    assert len(passwords) == 4
    assert server_password(settings(), USER, "a") in passwords


def test_image_and_process_sandbox_have_one_version() -> None:
    dockerfile = (image.build_context() / "Dockerfile").read_text()
    assert f"ARG OPENCODE_VERSION={opencode.VERSION}\n" in dockerfile
    plugin = json.loads((image.build_context() / "plugin" / "package.json").read_text())
    assert plugin["dependencies"]["@opencode-ai/plugin"] == opencode.VERSION


def test_the_image_is_named_by_what_it_is_built_from(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch")
    before = image.context_hash(tmp_path)
    assert image.context_hash(tmp_path) == before
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    assert image.context_hash(tmp_path) != before


async def test_output_over_its_limit_is_refused_wherever_it_goes() -> None:
    file = io.BytesIO()
    output = Output(file, limit=10)
    await output.take(b"12345")
    await output.take(b"123", error=True)
    assert (file.getvalue(), bytes(output.stdout), bytes(output.stderr)) == (b"12345", b"", b"123")
    with pytest.raises(RunError) as caught:
        await output.take(b"678")
    assert caught.value.kind == "limit"
    assert file.getvalue() == b"12345"


@pytest.mark.parametrize("name", ["", "../x", "Up", "a b", "x" * 40, "a\n"])
def test_a_helpers_name_cannot_leave_its_folder(name: str) -> None:
    with pytest.raises(ValueError, match="not a helper's name"):
        helper_name(name)


def test_the_reaper_finds_by_environment_and_by_folder(tmp_path: Path) -> None:
    mark = f"TEST_REAPER={uuid.uuid4()}"
    name, value = mark.split("=")
    marked = subprocess.Popen(["sleep", "60"], env={name: value, "PATH": "/usr/bin:/bin"})
    inside = subprocess.Popen(["sleep", "60"], cwd=tmp_path)
    beside_folder = tmp_path.with_name(f"{tmp_path.name}-beside")
    beside_folder.mkdir()
    beside = subprocess.Popen(["sleep", "60"], cwd=beside_folder)
    try:
        assert sorted(carriers(mark.encode(), str(tmp_path))) == sorted([marked.pid, inside.pid])
        assert reap(mark.encode(), str(tmp_path)) >= 2
        assert marked.wait(5) == inside.wait(5) == -9
        assert beside.poll() is None
    finally:
        for process in (marked, inside, beside):
            process.kill()
            process.wait()


def test_an_empty_marker_names_nobody() -> None:
    with pytest.raises(ValueError, match="every process"):
        carriers(b"")


def test_a_record_of_a_pid_that_is_another_process_now_is_gone(tmp_path: Path) -> None:
    record = daemonized.start(
        ["sleep", "60"], {"PATH": "/usr/bin:/bin"}, tmp_path, stdin=None, log=tmp_path / "log"
    )
    try:
        daemonized.save(tmp_path / "record.json", record)
        assert daemonized.load(tmp_path / "record.json") == record
        assert (tmp_path / "record.json").stat().st_mode & 0o777 == 0o600
        assert daemonized.state(record) == "running"
        assert daemonized.state(daemonized.Record(record.pid, "1")) == "gone"
    finally:
        subprocess.run(["kill", "-9", str(record.pid)], check=True)
    for _ in range(100):
        if daemonized.state(record) == "gone":
            return
        time.sleep(0.02)
    pytest.fail("a killed process is still taken for a running one")


def test_the_engines_dates_are_read_to_the_microsecond() -> None:
    assert _unix("2026-11-22T12:00:00.123456789Z") == pytest.approx(1795348800.123456)
    assert _unix("2026-11-22T12:00:00Z") == 1795348800


async def test_auto_is_decided_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    assert isinstance(await choose(settings(openlinear_home=tmp_path)), ProcessSandbox)
    assert json.loads((tmp_path / "sandbox.json").read_text()) == {"sandbox": "process"}
    (tmp_path / "sandbox.json").write_text('{"sandbox": "docker"}')
    assert (await choose(settings(openlinear_home=tmp_path))).name == "docker", "an outage must not downgrade"
    asked_for = await choose(settings(openlinear_home=tmp_path, sandbox="process"))
    assert isinstance(asked_for, ProcessSandbox)


async def test_root_runs_no_agents_without_bubblewrap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("engine.sandbox.process.bubblewrap", lambda: None)
    sandbox = ProcessSandbox(settings(openlinear_home=tmp_path, sandbox="process"))
    assert sandbox.name == "bare"
    assert "Install bubblewrap" in (await sandbox.check() or "")
    with pytest.raises(RunError, match="Install bubblewrap"):
        await sandbox.ensure(USER, silent)
    monkeypatch.setattr("engine.sandbox.process.bubblewrap", lambda: "/usr/bin/bwrap")
    able = ProcessSandbox(settings(openlinear_home=tmp_path, sandbox="process"))
    assert able.name == "process"
    assert "OpenCode is not installed yet" in (await able.check() or "")


async def test_what_auto_found_is_for_one_person(tmp_path: Path) -> None:
    (tmp_path / "sandbox" / str(uuid.uuid4())).mkdir(parents=True)
    sandbox = ProcessSandbox(settings(openlinear_home=tmp_path))
    sandbox.__dict__["_unsafe"] = None
    with pytest.raises(RunError, match="SANDBOX=process"):
        await sandbox.ensure(USER, silent)
    assert not (tmp_path / "sandbox" / str(USER)).exists()


async def test_without_an_engine_the_image_says_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    assert "Start it" in (await image.ensure_image(settings(), silent) or "")


class Restarting:
    """An engine that takes no call until it has refused so many."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals

    def answer(self) -> str:
        self.refusals -= 1
        if self.refusals >= 0:
            raise ConnectionRefusedError
        return "here"


async def test_an_engine_that_restarts_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.sandbox.daemon._AGAIN_SECONDS", 0.0)
    assert await Daemon().call(Restarting(3).answer) == "here"
    with pytest.raises(RunError, match="does not answer"):
        await Daemon().once(Restarting(1).answer)
    monkeypatch.setattr("engine.sandbox.daemon.OUTAGE_SECONDS", 0.0)
    with pytest.raises(RunError, match="does not answer"):
        await Daemon().call(Restarting(10**9).answer)


async def test_an_engine_that_hangs_does_not_hold_up_the_one_who_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    callers: list[asyncio.StreamWriter] = []
    engine = await asyncio.start_unix_server(
        lambda _, writer: callers.append(writer), tmp_path / "engine.sock"
    )
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine.sock")
    monkeypatch.setattr("engine.sandbox.docker.CHECK_SECONDS", 0.1)
    sandbox = await choose(settings(sandbox="docker"))
    assert "does not answer" in (await sandbox.check() or "")
    engine.close()
    for caller in callers:
        caller.transport.abort()


async def test_a_remote_engine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:2375")
    sandbox = await choose(settings(sandbox="docker"))
    assert re.search("DOCKER_HOST must name", await sandbox.check() or "")
