"""The demo project's repository: made from packaged files, on this machine, the same every time."""

import asyncio
import shutil
from pathlib import Path
from uuid import UUID

from engine.git.command import git
from engine.git.lock import locked
from engine.git.mirror import create_bare
from engine.settings import EngineSettings

BRANCH = "main"
_CONTENT = Path(__file__).with_name("demo_repo")
_IDENTITY = {
    f"GIT_{role}_{key}": value
    for role in ("AUTHOR", "COMMITTER")
    for key, value in {
        "NAME": "OpenLinear",
        "EMAIL": "demo@openlinear.invalid",
        "DATE": "@1735689600 +0000",
    }.items()
}


def demo_home(settings: EngineSettings) -> Path:
    """The folder of demo repositories, for `engine.git.remote.parse`."""
    return settings.openlinear_home / "demo"


async def ensure_demo_repo(settings: EngineSettings, project_id: UUID) -> Path:
    """The bare repository that `demo:{project_id}` names; made on first use, whole or not at all."""
    path = demo_home(settings) / f"{project_id}.git"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with locked(path.with_suffix(".lock")):
        if not path.exists():
            building = path.with_suffix(".building")
            await asyncio.to_thread(shutil.rmtree, building, ignore_errors=True)
            await create_bare(building)
            await _fill(building)
            building.rename(path)
    return path


async def _fill(path: Path) -> None:
    work = {"GIT_WORK_TREE": str(_CONTENT)}
    # Installers compile what is installed, and change modes: neither belongs in the commit.
    files = ("add", "--", ".", ":(exclude,glob)**/__pycache__/**")
    await git("-c", "core.fileMode=false", "-c", "core.bare=false", *files, git_dir=path, environment=work)
    tree = (await git("write-tree", git_dir=path, environment=work)).line
    commit = await git(
        "commit-tree", tree, "-m", "A small shopping cart", git_dir=path, environment=_IDENTITY
    )
    await git("update-ref", f"refs/heads/{BRANCH}", commit.line, git_dir=path)
    await git("symbolic-ref", "HEAD", f"refs/heads/{BRANCH}", git_dir=path)
    (path / "index").unlink()
