"""What sandboxes hold, and its removal: this installation's alone."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from uuid import uuid4

import docker
import pytest

from engine.ports import Box
from engine.sandbox import container as spec
from engine.sandbox.docker import DockerSandbox
from engine.sandbox.process import ProcessSandbox
from engine.settings import EngineSettings
from tests.support.sandbox import clean, silent


@pytest.fixture
def elsewhere() -> Iterator[EngineSettings]:
    """Another installation on the same Docker engine."""
    settings = EngineSettings(installation=f"test-{uuid4().hex[:8]}")
    yield settings
    clean(settings)


HIDE = """
import os, subprocess, sys, time
os.makedirs("hidden/below")
for name, mode in (("hidden/below/large", 0), ("removed", 0o600)):
    with open(name, "wb") as file:
        file.write(os.urandom(5 << 20))
    os.chmod(name, mode)
os.chmod("hidden", 0)
held = os.open("removed", os.O_RDONLY)
os.unlink("removed")
if os.fork() == 0:
    os.setsid()
    for number in range(3):
        os.close(number)
    time.sleep(60)
"""


async def nothing_hides(sandbox: DockerSandbox, box: Box) -> None:
    """Neither what no one but root may read, nor what has no name any more."""
    before = await sandbox.taken(box)
    assert before >= 3 << 20
    assert (await sandbox.exec(box, ["python3", "-c", HIDE], cwd=box.repos)).exit_code == 0
    assert (await sandbox.exec(box, ["du", "-s", str(box.repos)])).exit_code != 0
    assert (await sandbox.taken(box)) >= before + (10 << 20)
    assert (
        await sandbox.exec(box, ["sh", "-c", "chmod 700 hidden; rm -rf hidden"], cwd=box.repos)
    ).exit_code == 0


async def test_a_users_volumes_are_measured_and_go_and_no_others(
    docker_sandbox: DockerSandbox, docker_settings: EngineSettings, elsewhere: EngineSettings
) -> None:
    gone, stays = uuid4(), uuid4()
    client = docker.from_env()
    for settings, user_id in ((docker_settings, stays), (elsewhere, gone)):
        for name in spec.volumes(settings, user_id):
            labels = {**spec.labels(settings), "userId": str(user_id)}
            client.volumes.create(name, labels=labels)
    box = await docker_sandbox.ensure(gone, silent)
    fill = ["dd", "if=/dev/urandom", f"of={box.repos}/large", "bs=1M", "count=3"]
    assert (await docker_sandbox.exec(box, fill)).exit_code == 0
    held = await docker_sandbox.holdings()
    assert held[gone] > 3 << 20
    await nothing_hides(docker_sandbox, box)
    assert held[stays] == 0
    for _ in range(2):
        await docker_sandbox.forget(gone)
    assert gone not in await docker_sandbox.found()
    held = await docker_sandbox.holdings()
    assert gone not in held
    assert stays in held
    left = client.volumes.list(filters={"label": f"installation={elsewhere.installation}"})
    assert len(left) == len(spec.volumes(elsewhere, gone))
    client.close()
    assert await docker_sandbox.image_bytes() > 100 << 20


async def test_folders_of_processes_are_measured_and_go(tmp_path: Path) -> None:
    sandbox = ProcessSandbox(EngineSettings(openlinear_home=tmp_path))
    gone, stays = uuid4(), uuid4()
    for user_id in (gone, stays):
        home = tmp_path / "sandbox" / str(user_id) / "home"
        home.mkdir(parents=True)
        (home / "large").write_bytes(bytes(1 << 20))
        (home / "out").symlink_to("/usr")
    taken = await sandbox.taken(Box(gone, "", "", PurePosixPath("/r"), PurePosixPath("/o")))
    assert 1 << 20 <= taken < 2 << 20
    held = await sandbox.holdings()
    assert set(held) == {gone, stays}
    assert 1 << 20 <= held[gone] < 2 << 20
    await sandbox.forget(gone)
    assert set(await sandbox.holdings()) == {stays}
