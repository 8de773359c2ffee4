"""Laying out a run's workspace, against `git worktree add` on the same repository and file system.

Twice: in the user's container, where the product does it, and by the same script on the host.
"""

import asyncio
import shutil
import subprocess
import uuid
from pathlib import Path

from benchmarks.parts import Inside, Watch, folder, quiet, remove_containers, worker_image
from benchmarks.repository import BYTES, FILES, make_repository
from benchmarks.table import Figures, Ratio, Series
from engine.git import workspace
from engine.git.mirror import Mirror
from engine.git.remote import parse
from engine.ports import Box, Credential, Sandbox
from engine.sandbox.docker import DockerSandbox
from engine.settings import EngineSettings
from tests.support.gitserver import TOKEN, serve_git
from tests.support.localsandbox import LocalSandbox

REPEATS = 20
ADD = 'git -C "$1" worktree add --quiet --detach "$2" main'
REMOVE = 'rm -rf "$2" && git -C "$1" worktree prune'


async def measure() -> Figures:
    await worker_image()
    with folder("workspace") as home, serve_git(home) as git:
        repo = make_repository(git)
        installation = f"bench-{uuid.uuid4().hex[:8]}"
        settings = EngineSettings(
            openlinear_home=home,
            openlinear_secret_key="benchmarks",
            installation=installation,
            sandbox="docker",
        )
        mirror = Mirror(settings.repos, uuid.uuid4())
        base = await mirror.refresh(parse(repo.url, allow_local=True), Credential("bench", TOKEN), "main")
        try:
            inside = await _in_container(settings, mirror, base)
        finally:
            await asyncio.to_thread(remove_containers, settings)
        outside = await _on_host(home / "host", mirror, base)
    pairs = [inside, outside]
    return Figures(
        "Workspace",
        [series for pair in pairs for series in pair],
        [Ratio(ours, floor, 1.5) for ours, floor in pairs],
        [
            ("repository", f"{FILES:,} files, {BYTES >> 20} MiB"),
            ("order", "in turn, after one of each to warm up"),
        ],
    )


async def _in_container(settings: EngineSettings, mirror: Mirror, base: str) -> tuple[Series, Series]:
    sandbox, user_id, project_id = DockerSandbox(settings), uuid.uuid4(), uuid.uuid4()
    inside = Inside(sandbox, await sandbox.ensure(user_id, quiet))
    await mirror.share(sandbox.shared_objects(user_id) / str(project_id))
    bare = await inside.bare_mirror(str(inside.box.objects / str(project_id)), base)
    tree = str(inside.box.repos / "floor")
    ours, floor = Series("ours, in the container", []), Series("git worktree add, in the container", [])
    for number in range(REPEATS + 1):
        one = await _make(sandbox, inside.box, project_id, base)
        watch = Watch()
        await inside.sh(ADD, bare, tree)
        other = watch.seconds
        await inside.sh(REMOVE, bare, tree)
        _note(number, (ours, one), (floor, other))
    return ours, floor


async def _on_host(root: Path, mirror: Mirror, base: str) -> tuple[Series, Series]:
    sandbox, project_id, tree = LocalSandbox(root), uuid.uuid4(), str(root / "floor")
    await mirror.share(sandbox.shared_objects(sandbox.user_id) / str(project_id))
    bare = str(root / "floor.git")
    await asyncio.to_thread(shutil.copytree, mirror.path, bare)
    await asyncio.to_thread(_sh, 'git -C "$1" update-ref refs/heads/main "$2"', bare, base)
    ours, floor = Series("ours, on the host", []), Series("git worktree add, on the host", [])
    for number in range(REPEATS + 1):
        one = await _make(sandbox, sandbox.box, project_id, base)
        watch = Watch()
        await asyncio.to_thread(_sh, ADD, bare, tree)
        other = watch.seconds
        await asyncio.to_thread(_sh, REMOVE, bare, tree)
        _note(number, (ours, one), (floor, other))
    return ours, floor


async def _make(sandbox: Sandbox, box: Box, project_id: uuid.UUID, base: str) -> float:
    run_id = uuid.uuid4()
    watch = Watch()
    await workspace.make(sandbox, box, run_id, project_id=project_id, base=base, branch="openlinear/bench")
    took = watch.seconds
    await workspace.remove(sandbox, box, run_id, project_id=project_id)
    return took


def _note(number: int, *taken: tuple[Series, float]) -> None:
    """Keep what was taken, but for the first round, which warms up."""
    for series, seconds in taken if number else ():
        series.seconds.append(seconds)


def _sh(script: str, *args: str) -> None:
    subprocess.run(["sh", "-euc", script, "sh", *args], check=True, capture_output=True)
