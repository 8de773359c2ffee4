"""The worker image, and sandboxes of their own installation that leave nothing behind."""

import shutil
import subprocess
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

import docker
import httpx
import pytest
from docker.errors import APIError, DockerException

from engine.ports import Box
from engine.sandbox import container as spec
from engine.sandbox import wall
from engine.sandbox.docker import DockerSandbox
from engine.sandbox.image import ensure_image
from engine.sandbox.process import ProcessSandbox
from engine.settings import EngineSettings
from tests.support.needs import require


async def silent(_: str) -> None:
    """A Report that nobody reads."""


async def shell(box: Box, directory: PurePosixPath, command: str) -> str:
    """What a command of the agent's shell tool prints."""
    async with httpx.AsyncClient(base_url=box.url, auth=("opencode", box.password), timeout=60) as client:
        where = {"directory": str(directory)}
        session = (await client.post("/session", params=where, json={"title": "a shell"})).json()["id"]
        asked = {"agent": "build", "model": {"providerID": "no", "modelID": "no"}, "command": command}
        answer = await client.post(f"/session/{session}/shell", params=where, json=asked)
        assert answer.status_code == 200, answer.text
        messages = await client.get(f"/session/{session}/message", params=where)
        return messages.text


def docker_answers() -> bool:
    try:
        client = docker.from_env(timeout=10)
    except DockerException:
        return False
    try:
        return bool(client.ping())
    except (DockerException, OSError):
        return False
    finally:
        client.close()


@pytest.fixture(scope="session")
async def worker_image() -> str:
    """The built worker image's tag. Building takes a minute or two once, and nothing afterwards."""
    require(docker_answers(), "A Docker engine", "run scripts/docker-up as root, or start Docker")
    settings = EngineSettings(opencode_image="opencode-worker:latest")
    problem = await ensure_image(settings, silent)
    assert problem is None, problem
    return settings.opencode_image


@pytest.fixture(scope="session")
def sandbox_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sandbox-home")


def clean(settings: EngineSettings) -> None:
    """Remove every container, volume and network of one installation."""
    client = docker.from_env()
    label = {"label": ["app=openlinear", f"installation={settings.installation}"]}
    for container in client.containers.list(all=True, filters=label):
        container.remove(force=True, v=True)
    for thing in [*client.volumes.list(filters=label), *client.networks.list(filters=label)]:
        with suppress(APIError):
            thing.remove()
    client.close()
    for command in wall.COMMANDS:
        remove = [command, "-w", "5", "-D", *wall.rule(spec.bridge_name(settings))]
        subprocess.run(remove, check=False, capture_output=True)


@pytest.fixture(scope="session")
def docker_settings(worker_image: str, sandbox_home: Path) -> EngineSettings:
    """Settings of an installation that only this test session has."""
    return EngineSettings(
        openlinear_home=sandbox_home,
        openlinear_secret_key="a secret key that only tests have",
        opencode_image=worker_image,
        sandbox="docker",
        installation=f"test-{uuid.uuid4().hex[:8]}",
    )


@pytest.fixture(scope="session")
async def docker_sandbox(docker_settings: EngineSettings) -> AsyncIterator[DockerSandbox]:
    """A real DockerSandbox; its containers, volumes and network are gone after the session."""
    try:
        yield DockerSandbox(docker_settings)
    finally:
        clean(docker_settings)
        shutil.rmtree(docker_settings.repos, ignore_errors=True)


@pytest.fixture(scope="session")
def process_settings(tmp_path_factory: pytest.TempPathFactory) -> EngineSettings:
    """Settings of an installation without Docker; OpenCode is installed into it from npm."""
    home = tmp_path_factory.mktemp("process-home")
    return EngineSettings(
        openlinear_home=home, openlinear_secret_key="a secret key that only tests have", sandbox="process"
    )


@pytest.fixture(scope="session")
async def process_sandbox(process_settings: EngineSettings) -> AsyncIterator[ProcessSandbox]:
    """A real ProcessSandbox; its processes are gone after the session."""
    sandbox = ProcessSandbox(process_settings)
    try:
        yield sandbox
    finally:
        for user_id in await sandbox.found():
            await sandbox.remove(user_id)
