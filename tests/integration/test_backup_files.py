"""What the engine keeps on disk, in a backup: commits of runs, demo remotes, work that was not pushed."""

import subprocess
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from engine.git.demo import ensure_demo_repo
from engine.git.mirror import Mirror
from engine.git.store import Store
from engine.settings import EngineSettings
from tests.support.backups import environment_of, refused, reseal, succeeds
from tests.support.gitline import CREDENTIAL, Line

Environment = dict[str, str]
RUN = "0b6f4e5e-5d0c-4c39-8a3b-0d8f7f3f6a10"


@pytest.fixture
async def commit(line: Line) -> str:
    """What a run committed in the project's store, and did not push."""
    work = await line.make()
    (work / "src" / "shop.py").write_text("PRICE = 2\n")
    return await line.finish()


@pytest.fixture
async def demo(tmp_path: Path) -> UUID:
    project = uuid4()
    await ensure_demo_repo(EngineSettings(openlinear_home=tmp_path / "here"), project)
    return project


@pytest.fixture
def here(line: Line, commit: str, demo: UUID, database: str, tmp_path: Path) -> Environment:
    home = tmp_path / "here"
    kept = home / "kept" / RUN
    kept.mkdir(parents=True)
    (kept / "commits.bundle").write_bytes(b"a bundle")
    half = home / "kept" / f".{RUN}.new"
    half.mkdir()
    (half / "commits.bundle").write_bytes(b"half of one")
    sandbox = home / "sandbox" / "auth.json"
    sandbox.parent.mkdir()
    sandbox.write_text("a key in clear")
    (home / "sandbox.json").write_text('{"sandbox": "process"}')
    return environment_of(home, database, REPOS_DIR=str(line.mirror.path.parents[1]))


@pytest.fixture
def there(debian_database: str, tmp_path: Path) -> Environment:
    return environment_of(tmp_path / "there", debian_database, REPOS_DIR=str(tmp_path / "other" / "repos"))


def git(path: Path, *arguments: str) -> str:
    command = ["git", "-C", path, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_commits_of_runs_are_there_before_the_remote_is_asked(
    line: Line, commit: str, demo: UUID, here: Environment, there: Environment, tmp_path: Path
) -> None:
    # Pushed and fetched again, it is the mirror's, too, which stays behind; and it stays ours.
    await line.push(commit)
    await line.mirror.refresh(line.remote, CREDENTIAL, "main")
    succeeds(here, "backup", tmp_path / "backup.tar.gz")
    said = succeeds(there, "restore", tmp_path / "backup.tar.gz")
    assert "sandbox process there" in said

    mirror = Mirror(Path(there["REPOS_DIR"]), line.project_id)
    store = Store(mirror)
    assert not mirror.path.exists()
    assert await store.is_ours(commit)
    assert git(store.path, "show", f"{commit}:src/shop.py") == "PRICE = 2\n"
    await mirror.refresh(line.remote, CREDENTIAL, "main")
    assert git(store.path, "fsck", "--connectivity-only", "--no-dangling") == ""
    assert git(store.path, "for-each-ref") == git(line.store.path, "for-each-ref")

    here_demo, there_demo = (Path(e["OPENLINEAR_HOME"]) / "demo" / f"{demo}.git" for e in (here, there))
    assert git(there_demo, "for-each-ref") == git(here_demo, "for-each-ref") != ""
    assert git(there_demo, "symbolic-ref", "HEAD") == "refs/heads/main\n"
    assert git(there_demo, "fsck", "--strict") == ""

    home = Path(there["OPENLINEAR_HOME"])
    kept = home / "kept" / RUN / "commits.bundle"
    assert kept.read_bytes() == b"a bundle"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert names(home) == {"kept", "demo", "up.lock"}
    assert names(home / "kept") == {RUN}


async def test_mirrors_come_along_when_asked_for(
    line: Line, commit: str, here: Environment, there: Environment, tmp_path: Path
) -> None:
    line.repo.commit({"README.md": "# Größe\n"}, "größe", "A branch with a name of its own")
    await line.mirror.refresh(line.remote, CREDENTIAL, "main")
    succeeds(here, "backup", "--with-mirrors", tmp_path / "backup.tar.gz")
    succeeds(there, "restore", tmp_path / "backup.tar.gz")
    mirror = Mirror(Path(there["REPOS_DIR"]), line.project_id)
    assert git(mirror.path, "for-each-ref") == git(line.mirror.path, "for-each-ref")
    assert "größe" in git(mirror.path, "for-each-ref")
    assert git(Store(mirror).path, "fsck", "--strict", "--no-dangling") == ""
    # What is lent to sandboxes is whole, too: packs with their indexes, and nothing beside.
    assert {path.suffix for path in (mirror.path / "objects" / "pack").iterdir()} == {".pack", ".idx"}


async def test_a_taken_place_is_refused_and_nothing_is_restored(
    line: Line, here: Environment, there: Environment, tmp_path: Path
) -> None:
    succeeds(here, "backup", tmp_path / "backup.tar.gz")
    taken = Path(there["REPOS_DIR"]) / "mirrors" / f"{line.project_id}.runs.git"
    taken.mkdir(parents=True)
    assert f"{taken} is there already" in refused(there, "restore", tmp_path / "backup.tar.gz")
    taken.rmdir()
    succeeds(there, "restore", tmp_path / "backup.tar.gz")  # the database was left empty


async def test_a_repository_that_is_damaged_undoes_the_whole_restore(
    line: Line, here: Environment, there: Environment, tmp_path: Path
) -> None:
    """The file is sound and sealed, so that only git can tell, when the rows are there already."""
    backup = tmp_path / "backup.tar.gz"
    succeeds(here, "backup", backup)
    store = f"runs/{line.project_id}.pack"
    reseal(backup, {store: b"PACK and nothing that git would take"})
    assert "a repository in it is broken" in refused(there, "restore", backup)
    with psycopg.connect(there["DATABASE_URL"]) as connection:
        assert connection.execute("SELECT to_regclass('projects')").fetchone() == (None,)
    assert names(Path(there["OPENLINEAR_HOME"])) == {"up.lock"}
    assert names(Path(there["REPOS_DIR"]) / "mirrors") == set()
