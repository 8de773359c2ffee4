"""The worker image on a real engine."""

import subprocess
from pathlib import Path

import docker
import pytest

from engine.sandbox import image
from engine.settings import EngineSettings


class Lines(list[str]):
    """A Report that remembers."""

    async def __call__(self, line: str) -> None:
        self.append(line)


async def test_a_current_image_is_left_alone(docker_settings: EngineSettings) -> None:
    assert await image.ensure_image(docker_settings, Lines()) is None
    lines = Lines()
    assert await image.ensure_image(docker_settings, lines) is None
    assert lines == []


async def test_a_build_that_fails_says_why_and_leaves_the_image(
    docker_settings: EngineSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = docker.from_env().images.get(image.DEFAULT_IMAGE).id
    (tmp_path / "Dockerfile").write_text(
        f"FROM {image.BASE_IMAGE}\nRUN echo the registry is away && exit 3\n"
    )
    monkeypatch.setattr(image, "build_context", lambda: tmp_path)
    lines = Lines()
    problem = await image.ensure_image(docker_settings, lines)
    assert "the registry is away" in (problem or "")
    assert "returned a non-zero code: 3" in (problem or "")
    assert "Building the worker image: step 2 of 3" in lines
    assert docker.from_env().images.get(image.DEFAULT_IMAGE).id == before


async def test_somebodys_own_image_is_pulled_and_never_built(docker_settings: EngineSettings) -> None:
    lines = Lines()
    custom = docker_settings.model_copy(update={"opencode_image": "localhost:1/nobody/worker:1"})
    problem = await image.ensure_image(custom, lines)
    assert "could not pull OPENCODE_IMAGE (localhost:1/nobody/worker:1)" in (problem or "")
    assert lines == ["Pulling localhost:1/nobody/worker:1"]


async def test_without_a_registry_or_root_the_cure_is_named(
    worker_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image, "BASE_IMAGE", "localhost:1/debian:none")
    monkeypatch.setattr(image, "DEFAULT_IMAGE", "localhost:1/worker:none")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    settings = EngineSettings(opencode_image="localhost:1/worker:none")
    problem = await image.ensure_image(settings, Lines())
    assert "scripts/base-image localhost:1/debian:none" in (problem or "")


def script(*argv: str) -> subprocess.CompletedProcess[str]:
    scripts = Path(__file__).parents[3] / "scripts"
    command = [scripts / argv[0], *argv[1:]]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_scripts_leave_alone_what_is_there(worker_image: str) -> None:
    started = script("docker-up")
    assert (started.returncode, "docker-up: ready" in started.stderr) == (0, True)
    made = script("base-image", worker_image)
    assert (made.returncode, made.stdout, made.stderr) == (0, "", "")
    assert script("base-image").returncode == 2
