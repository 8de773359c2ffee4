"""The Docker sandbox on a real engine: one container, put through its life."""

import asyncio
import io
import json
import subprocess
import time
import uuid

import docker
import httpx
import pytest

from engine.errors import RunError
from engine.ports import Box
from engine.sandbox import container as spec
from engine.sandbox.daemon import Daemon
from engine.sandbox.docker import DockerSandbox
from engine.sandbox.docker_network import workers_network
from engine.settings import EngineSettings
from tests.support.sandbox import clean, shell, silent

USER = uuid.UUID("00000000-0000-4000-8000-00000000d0c1")


@pytest.fixture(scope="module")
async def box(docker_sandbox: DockerSandbox) -> Box:
    """Two at once for one user: they must end up with one container."""
    first, second = await asyncio.gather(
        docker_sandbox.ensure(USER, silent), docker_sandbox.ensure(USER, silent)
    )
    assert first == second
    return first


def inspect(settings: EngineSettings) -> dict:
    return docker.from_env().api.inspect_container(spec.container_name(settings, USER))


async def test_two_workers_at_once_make_one_container(
    docker_settings: EngineSettings, docker_sandbox: DockerSandbox
) -> None:
    user = uuid.uuid4()
    other = DockerSandbox(docker_settings)
    boxes = await asyncio.gather(docker_sandbox.ensure(user, silent), other.ensure(user, silent))
    try:
        assert boxes[0] == boxes[1]
        assert (await docker_sandbox.found())[user] == "running"
    finally:
        await docker_sandbox.remove(user)


async def test_starts_that_are_cancelled_leave_one_network(docker_settings: EngineSettings) -> None:
    settings = docker_settings.model_copy(update={"installation": f"test-{uuid.uuid4().hex[:8]}"})
    for number in range(6):
        asked = asyncio.create_task(workers_network(settings, Daemon()))
        await asyncio.sleep(0.01 * number)
        asked.cancel()
    kept = await workers_network(settings, Daemon())
    try:
        found = docker.from_env().networks.list(names=[spec.inner_name(settings)])
        assert [one.id for one in found] == [kept]
    finally:
        clean(settings)


async def test_server_demands_its_password(box: Box) -> None:
    async with httpx.AsyncClient() as client:
        assert (await client.get(f"{box.url}/global/health")).status_code == 401
        answer = await client.get(f"{box.url}/global/health", auth=("opencode", box.password))
        assert answer.json()["version"] == "1.18.33"


async def test_container_is_laid_down_as_designed(box: Box, docker_settings: EngineSettings) -> None:
    record = inspect(docker_settings)
    host = record["HostConfig"]
    assert host["Memory"] == host["MemorySwap"] == 512 << 20
    assert (host["CpuShares"], host["PidsLimit"]) == (512, 256)
    assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    assert host["CapDrop"] == ["ALL"]
    assert host["ReadonlyRootfs"]
    assert "no-new-privileges" in host["SecurityOpt"]
    assert not any(record["NetworkSettings"]["Ports"].values()), "no port is published"
    assert host["Dns"] == ["127.0.0.1"]
    assert [(one["Name"], one["Hard"]) for one in host["Ulimits"]] == [("fsize", 8 << 30)]
    assert {mount["Destination"] for mount in record["Mounts"] if mount["Type"] == "volume"} >= {
        "/home/opencode/.local/share/opencode",
        "/home/opencode/.config/opencode",
        "/home/opencode/repos",
    }
    assert not any("docker.sock" in mount["Source"] for mount in record["Mounts"])
    (network,) = docker.from_env().networks.list(names=[spec.inner_name(docker_settings)])
    assert list(record["NetworkSettings"]["Networks"]) == [network.name]
    assert network.attrs["Internal"]
    assert network.attrs["Options"]["com.docker.network.bridge.enable_icc"] == "false"


async def test_password_is_nowhere_to_be_seen(
    box: Box, docker_settings: EngineSettings, docker_sandbox: DockerSandbox
) -> None:
    assert box.password not in json.dumps(inspect(docker_settings))
    assert box.password not in repr(box)
    processes = await asyncio.to_thread(subprocess.check_output, ["ps", "axww", "-o", "args"], text=True)
    assert "opencode serve" in processes
    assert box.password not in processes
    environment = await docker_sandbox.exec(box, ["env"])
    assert box.password.encode() not in environment.stdout
    mode = await docker_sandbox.exec(box, ["stat", "-c", "%a %u", ".local/share/opencode/.server-password"])
    assert mode.stdout == b"600 10001\n"


async def test_health_check_authenticates(box: Box, docker_sandbox: DockerSandbox) -> None:
    assert (await docker_sandbox.exec(box, ["healthcheck"])).exit_code == 0


async def test_exec_runs_as_the_worker(box: Box, docker_sandbox: DockerSandbox) -> None:
    done = await docker_sandbox.exec(
        box,
        ["sh", "-c", 'id -u; pwd; echo "$GREETING"; cat; echo trouble >&2; exit 3'],
        cwd=box.repos,
        env={"GREETING": "hello"},
        stdin=b"from stdin\n",
    )
    assert done.exit_code == 3
    assert done.stdout == b"10001\n/home/opencode/repos\nhello\nfrom stdin\n"
    assert done.stderr == b"trouble\n"


async def test_exec_streams_what_is_large(box: Box, docker_sandbox: DockerSandbox) -> None:
    data = bytes(range(256)) * (20 << 12)
    received = io.BytesIO()
    done = await docker_sandbox.exec(box, ["cat"], stdin=data, stdout=received, limit=64 << 20)
    assert (done.exit_code, done.stdout) == (0, b"")
    assert received.getvalue() == data


async def test_unread_stdin_is_no_error(box: Box, docker_sandbox: DockerSandbox) -> None:
    assert (await docker_sandbox.exec(box, ["true"], stdin=b"x" * (4 << 20))).exit_code == 0


async def test_root_is_read_only_and_workspaces_are_not(box: Box, docker_sandbox: DockerSandbox) -> None:
    script = "touch /usr/x /home/opencode/objects/x; touch repos/x .cache/x /tmp/x && echo written"
    done = await docker_sandbox.exec(box, ["sh", "-c", script])
    assert done.stdout == b"written\n"
    assert done.stderr.count(b"Read-only file system") == 2


async def test_objects_of_the_host_show_inside(box: Box, docker_sandbox: DockerSandbox) -> None:
    (docker_sandbox.shared_objects(USER) / "shown").write_text("borrowed")
    assert (await docker_sandbox.exec(box, ["cat", "objects/shown"])).stdout == b"borrowed"


async def test_tools_for_the_agent_are_there(box: Box, docker_sandbox: DockerSandbox) -> None:
    for tool in ("git", "curl", "ssh", "bash", "node", "npm", "python", "python3", "pip", "pytest", "rg"):
        assert (await docker_sandbox.exec(box, ["which", tool])).exit_code == 0, tool


async def test_over_its_limit_a_command_is_killed(box: Box, docker_sandbox: DockerSandbox) -> None:
    with pytest.raises(RunError, match="limit of 100,000 bytes") as caught:
        await docker_sandbox.exec(box, ["yes", "over-the-limit"], limit=100_000)
    assert caught.value.kind == "limit"
    assert not await running(docker_sandbox, box, "over-the-limit")


async def test_after_its_timeout_a_command_is_killed(box: Box, docker_sandbox: DockerSandbox) -> None:
    with pytest.raises(RunError, match="did not end within 1 seconds") as caught:
        await docker_sandbox.exec(box, ["sh", "-c", "setsid sleep 7001 & exec sleep 7001"], timeout=1)
    assert caught.value.kind == "timeout"
    assert not await running(docker_sandbox, box, "sleep 7001")


async def running(sandbox: DockerSandbox, box: Box, command: str) -> bool:
    return (await sandbox.exec(box, ["pgrep", "-f", command])).exit_code == 0


async def test_stop_run_kills_orphans_and_spares_the_server(box: Box, docker_sandbox: DockerSandbox) -> None:
    run = uuid.uuid4()
    workspace = box.repos / str(run)
    start = f"mkdir -p {workspace} && cd {workspace} && (setsid sleep 7002 >/dev/null 2>&1 &)"
    elsewhere = "cd /tmp && (setsid sleep 7003 >/dev/null 2>&1 &)"
    await docker_sandbox.exec(box, ["sh", "-c", start])
    await docker_sandbox.exec(box, ["sh", "-c", elsewhere], env={"WORKSPACE": str(workspace)})
    assert await running(docker_sandbox, box, "sleep 700[23]")
    await docker_sandbox.stop_run(box, run)
    assert not await running(docker_sandbox, box, "sleep 700[23]")
    assert await docker_sandbox.ensure(USER, silent) == box


async def test_a_helper_is_started_once(box: Box, docker_sandbox: DockerSandbox) -> None:
    argv = ["sh", "-c", "cat > /tmp/told; exec sleep 7004"]
    for _ in range(2):
        await docker_sandbox.spawn(box, "demo-model", argv, stdin=b"a script")
    assert (await docker_sandbox.exec(box, ["pgrep", "-cf", "sleep 7004"])).stdout == b"1\n"
    assert (await docker_sandbox.exec(box, ["cat", "/tmp/told"])).stdout == b"a script"
    with pytest.raises(RunError, match="could not be started"):
        await docker_sandbox.spawn(box, "absent", ["no-such-command"])


async def test_pause_and_wake(box: Box, docker_sandbox: DockerSandbox) -> None:
    await docker_sandbox.pause(USER)
    await docker_sandbox.pause(USER)
    assert (await docker_sandbox.found())[USER] == "paused"
    with pytest.raises(RunError, match="run a command"):
        await docker_sandbox.exec(box, ["true"])
    started = time.monotonic()
    assert await docker_sandbox.ensure(USER, silent) == box
    assert time.monotonic() - started < 2
    assert (await docker_sandbox.found())[USER] == "running"


async def test_found_again_by_a_new_process(box: Box, docker_settings: EngineSettings) -> None:
    fresh = DockerSandbox(docker_settings)
    assert (await fresh.found())[USER] == "running"
    assert await fresh.ensure(USER, silent) == box


async def test_an_agent_that_runs_out_of_memory_is_told_from_others(
    box: Box, docker_sandbox: DockerSandbox
) -> None:
    assert await docker_sandbox.cause_of_death(USER) is None
    as_the_agent = {"BASH_ENV": "/opt/opencode/agent-env"}
    hog = "python3 -c 'bytearray(900 << 20)'; echo ended with $?"
    done = await docker_sandbox.exec(box, ["bash", "-c", hog], env=as_the_agent)
    assert done.stdout == b"ended with 137\n"
    cause = await docker_sandbox.cause_of_death(USER)
    assert cause is not None
    assert "ran out of memory (512 MB)" in cause.reason
    assert await docker_sandbox.ensure(USER, silent) == box, "the server went first"
    assert await docker_sandbox.cause_of_death(USER) is None


async def test_the_agents_shell_does_not_see_the_password(box: Box, docker_sandbox: DockerSandbox) -> None:
    await docker_sandbox.exec(box, ["mkdir", "-p", "repos/shell"])
    said = await shell(box, box.repos / "shell", "env; echo done with it")
    assert "done with it" in said
    assert "HOME=/home/opencode" in said
    assert box.password not in said


async def test_an_outdated_container_is_replaced_only_when_idle(
    box: Box, docker_settings: EngineSettings, docker_sandbox: DockerSandbox
) -> None:
    await docker_sandbox.exec(box, ["sh", "-c", "echo kept > repos/kept"])
    wider = DockerSandbox(docker_settings.model_copy(update={"container_memory_mb": 640}))
    assert await wider.ensure(USER, silent) == box
    assert inspect(docker_settings)["HostConfig"]["Memory"] == 512 << 20
    await wider.pause(USER)
    fresh = await wider.ensure(USER, silent)
    assert inspect(docker_settings)["HostConfig"]["Memory"] == 640 << 20
    assert (await wider.exec(fresh, ["cat", "repos/kept"])).stdout == b"kept\n"


async def test_a_stopped_container_is_woken_and_removal_keeps_the_volumes(
    docker_settings: EngineSettings, docker_sandbox: DockerSandbox
) -> None:
    box = await docker_sandbox.ensure(USER, silent)
    await docker_sandbox.exec(box, ["sh", "-c", "echo kept > .local/share/opencode/kept"])
    docker.from_env().containers.get(spec.container_name(docker_settings, USER)).stop(timeout=5)
    assert (await docker_sandbox.found())[USER] == "stopped"
    box = await docker_sandbox.ensure(USER, silent)
    await docker_sandbox.remove(USER)
    await docker_sandbox.remove(USER)
    assert USER not in await docker_sandbox.found()
    box = await docker_sandbox.ensure(USER, silent)
    assert (await docker_sandbox.exec(box, ["cat", ".local/share/opencode/kept"])).stdout == b"kept\n"


async def test_a_server_that_ran_out_of_memory_is_told_after_its_restart(
    docker_sandbox: DockerSandbox,
) -> None:
    """The engine starts it again by itself, and with that forgets in its record why it died."""
    box = await docker_sandbox.ensure(USER, silent)
    script = (
        "echo 1000 >/proc/$(pgrep -xf 'opencode serve.*')/oom_score_adj; python3 -c 'bytearray(900 << 20)'"
    )
    await docker_sandbox.exec(box, ["bash", "-c", script])
    for _ in range(100):
        if cause := await docker_sandbox.cause_of_death(USER):
            break
        await asyncio.sleep(0.1)
    assert cause is not None and "ran out of memory" in cause.reason
    fresh = await docker_sandbox.ensure(USER, silent)
    assert (await docker_sandbox.exec(fresh, ["true"])).exit_code == 0


async def test_an_engine_that_is_away_is_said_plainly(
    docker_settings: EngineSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    monkeypatch.setattr("engine.sandbox.daemon.OUTAGE_SECONDS", 0.0)
    away = DockerSandbox(docker_settings)
    assert "does not answer" in (await away.check() or "")
    with pytest.raises(RunError, match="does not answer") as caught:
        await away.ensure(USER, silent)
    assert caught.value.kind == "sandbox"
