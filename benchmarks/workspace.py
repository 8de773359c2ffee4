"""Laying out a run's workspace, against `git worktree add` on the same repository and file system.

In the user's container, where the product does it, and by the same script on the host.
"""

import asyncio
import uuid
from pathlib import Path

from benchmarks.parts import Inside, Watch, folder, quiet, remove_containers, worker_image
from benchmarks.repository import BYTES, FILES, make_repository
from benchmarks.table import Figures, Ratio, Series
from engine.git import workspace
from engine.git.mirror import Mirror
from engine.git.remote import parse
from engine.ports import Credential
from engine.sandbox.docker import DockerSandbox
from engine.settings import EngineSettings
from tests.support.gitserver import TOKEN, serve_git
from tests.support.localsandbox import LocalSandbox

REPEATS = 20
PROJECT = uuid.UUID(int=1)
ADD = 'git -C "$1" worktree add --quiet --detach "$2" main'
PRUNE = 'git -C "$1" worktree prune'


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
        sandbox = DockerSandbox(settings)
        try:
            user_id = uuid.uuid4()
            inside = Inside(sandbox, await sandbox.ensure(user_id, quiet))
            objects = sandbox.shared_objects(user_id) / str(PROJECT)
            contained = await _compare("in the container", inside, mirror, objects, base)
        finally:
            await asyncio.to_thread(remove_containers, settings)
        local = LocalSandbox(home / "host")
        objects = local.shared_objects(local.user_id) / str(PROJECT)
        hosted = await _compare("on the host", Inside(local, local.box), mirror, objects, base)
    return Figures(
        "Workspace",
        [*contained, *hosted],
        [Ratio(ours, floor, 1.5) for *both, floor in (contained, hosted) for ours in both],
        [
            ("repository", f"{FILES:,} files, {BYTES >> 20} MiB"),
            ("first", "the project's first run in this sandbox; next: on the files of an ended run"),
        ],
    )


async def _compare(where: str, inside: Inside, mirror: Mirror, objects: Path, base: str) -> list[Series]:
    """The first run's workspace, the next one's, and the floor, in turn; the first round warms up."""
    await mirror.share(objects)
    bare = await inside.bare_mirror(str(inside.box.objects / str(PROJECT)), base)
    spares, tree = str(inside.box.repos / ".spares"), str(inside.box.repos / "floor")
    first, following = Series(f"first, {where}", []), Series(f"next, {where}", [])
    floor = Series(f"git worktree add, {where}", [])
    for number in range(REPEATS + 1):
        if number:
            await inside.put_aside(spares)
        taken = [await _make(inside, base), await _make(inside, base)]
        watch = Watch()
        await inside.sh(ADD, bare, tree)
        taken.append(watch.seconds)
        await inside.put_aside(tree)
        await inside.sh(PRUNE, bare)
        for series, seconds in zip((first, following, floor), taken, strict=True):
            if number:
                series.seconds.append(seconds)
    return [first, following, floor]


async def _make(inside: Inside, base: str) -> float:
    run_id = uuid.uuid4()
    watch = Watch()
    await workspace.make(inside.sandbox, inside.box, run_id, project_id=PROJECT, base=base, branch="bench")
    took = watch.seconds
    await workspace.remove(inside.sandbox, inside.box, run_id, project_id=PROJECT)
    return took
