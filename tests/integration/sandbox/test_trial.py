"""Boxes of trials, on a real Docker engine and as real processes: fresh, closed, and certainly gone."""

import asyncio
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast
from uuid import uuid4

import docker
import docker.errors
import pytest

from engine import janitor_sandboxes
from engine.ports import Sandbox
from engine.sandbox import container as spec
from engine.sandbox import egress_way
from engine.sandbox.cell import bubblewrap
from engine.sandbox.docker import DockerSandbox
from engine.sandbox.process import ProcessSandbox
from engine.settings import EngineSettings
from engine.world import World
from tests.support.needs import require

SECONDS = 600.0
PROJECT = uuid4()


@pytest.fixture
def processes(tmp_path: Path) -> ProcessSandbox:
    require(bubblewrap() is not None, "bubblewrap", "apt-get install bubblewrap")
    return ProcessSandbox(EngineSettings(openlinear_home=tmp_path, sandbox="process"))


@pytest.fixture(params=["docker_sandbox", "processes"])
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    found: Sandbox = request.getfixturevalue(request.param)
    return found


async def test_one_of_the_same_id_is_replaced_and_its_maker_removes_no_other(sandbox: Sandbox) -> None:
    user_id, trial_id = uuid4(), uuid4()
    left = sandbox.trial(user_id, trial_id, project_id=PROJECT, seconds=SECONDS)
    first = await left.__aenter__()
    await sandbox.exec(first, ["sh", "-c", "echo left > ~/left"])
    async with sandbox.trial(user_id, trial_id, project_id=PROJECT, seconds=SECONDS) as second:
        assert (await sandbox.exec(second, ["sh", "-c", "ls ~/left || echo none"])).stdout == b"none\n"
        cause = await sandbox.cause_of_death(user_id, first.trial)
        assert cause is not None and cause.kind == "sandbox"
        await left.__aexit__(None, None, None)
        assert await sandbox.cause_of_death(user_id, second.trial) is None
        assert (await sandbox.exec(second, ["echo", "there"])).stdout == b"there\n"
    assert await sandbox.clear_trials(under_way=True) == []


async def test_a_cancellation_waits_for_what_is_being_made(sandbox: Sandbox) -> None:
    async def stay() -> None:
        async with sandbox.trial(uuid4(), uuid4(), project_id=PROJECT, seconds=SECONDS):
            await asyncio.Event().wait()

    for number in range(3):
        begun = asyncio.create_task(stay())
        await asyncio.sleep(0.03 * number)
        begun.cancel()
        with pytest.raises(asyncio.CancelledError):
            await begun
    assert await sandbox.clear_trials(under_way=True) == []


async def swept(sandbox: Sandbox) -> list[tuple[str, str, bool]]:
    found = await janitor_sandboxes.trials(cast(World, SimpleNamespace(sandbox=sandbox)))
    return [(one.kind, one.subject, one.mended) for one in found]


async def test_a_box_is_as_closed_as_a_users_and_holds_nothing_of_theirs(
    docker_sandbox: DockerSandbox, docker_settings: EngineSettings
) -> None:
    user_id, client = uuid4(), docker.from_env()
    async with docker_sandbox.trial(user_id, uuid4(), project_id=PROJECT, seconds=SECONDS) as box:
        record = client.api.inspect_container(box.trial)
        theirs = spec.container_spec(docker_settings, user_id, "image", "network")
        host = record["HostConfig"]
        assert host["Memory"] == host["MemorySwap"] == 512 << 20
        assert (host["CpuShares"], host["PidsLimit"]) == (theirs["cpu_shares"], theirs["pids_limit"])
        assert (host["CapDrop"], host["SecurityOpt"]) == (["ALL"], ["no-new-privileges"])
        assert (host["ReadonlyRootfs"], host["Tmpfs"]) == (True, theirs["tmpfs"])
        assert not record["NetworkSettings"]["Ports"].get(spec.PORT)
        assert list(record["NetworkSettings"]["Networks"]) == [spec.inner_name(docker_settings)]
        assert record["Config"]["User"] == "10001:10001"
        image = client.api.inspect_image(docker_settings.opencode_image)
        told = {f"{name}={value}" for name, value in egress_way.ENVIRONMENT.items()}
        assert set(record["Config"]["Env"]) == {*image["Config"]["Env"], *told}
        home, objects, way_out = sorted(record["Mounts"], key=lambda mount: mount["Destination"])
        assert (way_out["Source"], way_out["RW"]) == (
            str(egress_way.sockets(docker_settings, user_id)),
            False,
        )
        assert (home["Type"], home["Destination"], home["RW"]) == ("volume", "/home/opencode", True)
        assert (objects["Source"], objects["RW"]) == (
            str(docker_sandbox.shared_objects(user_id) / str(PROJECT)),
            False,
        )
        assert user_id not in await docker_sandbox.found()
        assert user_id not in await docker_sandbox.holdings()
        assert await swept(docker_sandbox) == []
    with pytest.raises(docker.errors.NotFound):
        client.containers.get(box.trial)
    with pytest.raises(docker.errors.NotFound):
        client.volumes.get(home["Name"])
    client.close()


async def test_nothing_in_a_box_ends_it_or_leaves_zombies(docker_sandbox: DockerSandbox) -> None:
    async with docker_sandbox.trial(uuid4(), uuid4(), project_id=PROJECT, seconds=SECONDS) as box:
        for number in ("9", "15", "2", "1"):
            await docker_sandbox.exec(box, ["sh", "-c", f"kill -{number} -1; kill -{number} 1"])
        look = "(setsid true &); sleep 0.3; cat /proc/[0-9]*/stat | grep -c ' Z '"
        assert (await docker_sandbox.exec(box, ["sh", "-c", look])).stdout == b"0\n"
        assert await docker_sandbox.cause_of_death(box.user_id, box.trial) is None


async def test_docker_itself_removes_a_box_whose_time_is_up(docker_sandbox: DockerSandbox) -> None:
    left = docker_sandbox.trial(uuid4(), uuid4(), project_id=PROJECT, seconds=1.0)
    box = await left.__aenter__()
    client = docker.from_env()
    while client.containers.list(all=True, filters={"id": box.trial}):
        await asyncio.sleep(0.1)
    await left.__aexit__(None, None, None)
    client.close()


async def test_the_janitor_removes_a_box_that_was_never_started(
    docker_sandbox: DockerSandbox, docker_settings: EngineSettings, worker_image: str
) -> None:
    client, trial_id = docker.from_env(), uuid4()
    async with docker_sandbox.trial(uuid4(), uuid4(), project_id=PROJECT, seconds=SECONDS) as other:
        network = spec.network_name(docker_settings)
        client.containers.create(
            **spec.trial_spec(
                docker_settings,
                other.user_id,
                worker_image,
                network,
                trial_id=trial_id,
                project_id=PROJECT,
                seconds=-1,
            )
        )
        assert await swept(docker_sandbox) == [("trial", str(trial_id), True)]
        assert await swept(docker_sandbox) == []
        assert await docker_sandbox.cause_of_death(other.user_id, other.trial) is None
    client.close()


async def test_the_janitor_removes_folders_whose_time_is_up(
    processes: ProcessSandbox, tmp_path: Path
) -> None:
    trial_id = uuid4()
    left = processes.trial(uuid4(), trial_id, project_id=PROJECT, seconds=-1.0)
    box = await left.__aenter__()
    await processes.exec(box, ["sh", "-c", "mkdir -p ~/a/b && chmod 0 ~/a && ln -s /etc ~/etc"])
    async with processes.trial(uuid4(), uuid4(), project_id=PROJECT, seconds=SECONDS) as other:
        assert await swept(processes) == [("trial", str(trial_id), True)]
        assert (await processes.exec(other, ["true"])).exit_code == 0
        assert await processes.found() == await processes.holdings() == {}
    assert await asyncio.to_thread(lambda: list((tmp_path / "trials").iterdir())) == []
    await left.__aexit__(None, None, None)


async def test_what_runs_in_a_box_dies_with_its_worker(processes: ProcessSandbox, tmp_path: Path) -> None:
    script = f"""
import asyncio, uuid
from pathlib import Path
from engine.sandbox.process import ProcessSandbox
from engine.settings import EngineSettings
async def work():
    sandbox = ProcessSandbox(EngineSettings(openlinear_home=Path({str(tmp_path)!r}), sandbox="process"))
    async with sandbox.trial(uuid.uuid4(), uuid.uuid4(), project_id=uuid.uuid4(), seconds=600) as box:
        await sandbox.exec(box, ["sh", "-c", "echo begun >~/begun; setsid sleep 7311 & sleep 7311"])
asyncio.run(work())
"""
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
    while not await asyncio.to_thread(lambda: list(tmp_path.glob("trials/*/home/begun"))):
        await asyncio.sleep(0.05)
    assert await runs("sleep 7311")
    worker.kill()
    await worker.wait()
    while await runs("sleep 7311"):
        await asyncio.sleep(0.05)
    assert len(await processes.clear_trials(under_way=True)) == 1


async def runs(command: str) -> bool:
    done = await asyncio.to_thread(subprocess.run, ["pgrep", "-xf", command], capture_output=True)
    return done.returncode == 0
