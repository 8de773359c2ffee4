"""An installation, backed up at work and restored elsewhere: other paths, Debian's PostgreSQL, and back."""

import gzip
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from openlinear.embedded import EmbeddedPostgres
from tests.support.aftermath import cleared
from tests.support.backups import contents, refused, succeeds
from tests.support.gitserver import TOKEN
from tests.support.modelserver import Ask, Edit, Turn, Write
from tests.support.stack import Json, Person, Stack, serve_stack

FILES = {"app.py": "print('hello')\n", ".gitattributes": "*.txt text\n"}
KEYS = ("DATABASE_URL", "JWT_SECRET", "OPENLINEAR_SECRET_KEY", "REPOS_DIR")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that a system account may pass through, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="openlinear-elsewhere-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
async def waiting(person: Person) -> AsyncIterator[Json]:
    """A task whose run is under way for as long as nobody answers."""
    script = person.stack.model.script(
        "backup-waiting",
        Turn("", [Write("half.txt", "half\n")]),
        Turn("", [Ask("Shall I?", ("Yes", "No"))]),
        Turn("Never."),
    )
    repo = person.stack.git.create("backup/waiting", FILES)
    task = await person.task(await person.project(repo, name="Waiting"), f"Wait {script}")
    await person.execute(task)
    yield await person.until(task, lambda now: now["executionStatus"] == "waiting")
    await person.ask("POST", f"/tasks/{task['id']}/cancel", expect=202)
    await person.ended(task)


async def test_an_installation_moves_elsewhere_and_back(
    person: Person, waiting: Json, place: Path, debian_database: str
) -> None:
    source = person.stack
    project, done = await _finished(person, "first")
    backup, key = place / "backup.tar.gz", place / "key"

    said = succeeds(source.environment, "backup", backup)
    succeeds(source.environment, "key", "export", key)
    assert f"{backup}: " in said
    _holds_no_secret(backup, source, "Greet the world first")

    repos = place / "other" / "repositories"
    layout = {"DATABASE_URL": debian_database, "REPOS_DIR": str(repos)}
    environment = {name: value for name, value in source.environment.items() if name not in KEYS}
    environment |= {**layout, "OPENLINEAR_HOME": str(place / "home")}
    assert "key import" in refused(environment, "restore", backup)
    succeeds(environment, "key", "import", key)
    said = succeeds(environment, "restore", backup)
    assert "under way then: 1." in said

    secret = (place / "home" / "secrets" / "openlinear_secret_key").read_text()
    github = {"GITHUB_URL": source.git.url, "GITHUB_API_URL": source.github.url}
    with serve_stack(debian_database, place, **layout, **github, OPENLINEAR_SECRET_KEY=secret) as there:
        async with httpx.AsyncClient(base_url=there.url, timeout=40) as http:
            moved = await _signed_in(there, http, person)
            await _shows_the_same(person, moved, done)
            ended = await moved.ask("GET", f"/tasks/{waiting['id']}")
            assert ended["executionStatus"] == "failed"
            assert "under way when the backup of" in ended["executionError"]
            assert ended["status"] == "in_progress"
            await _goes_on(moved, source, project, done)
        back = place / "back.tar.gz"
        succeeds(there.environment, "backup", back)
    _back(back, key, place / "third", debian_database)


async def _finished(person: Person, name: str) -> tuple[Json, Json]:
    repo = person.stack.git.create("backup/app", FILES)
    project = await person.project(repo, name="Moved")
    task = await person.task(project, f"Greet the world {name}", description=_editing(person.stack, name))
    await person.execute(task)
    done = await person.ended(task)
    assert done["executionStatus"] == "done", done
    return project, done


def _editing(stack: Stack, name: str) -> str:
    return stack.model.script(
        f"backup-{name}", Turn("I edit.", [Edit("app.py", "hello", f"hello {name}")]), Turn("Done.")
    )


def _holds_no_secret(backup: Path, source: Stack, known: str) -> None:
    raw = backup.read_bytes()
    content = gzip.decompress(raw)
    assert known.encode() in content
    keys = [source.environment[name] for name in ("OPENLINEAR_SECRET_KEY", "JWT_SECRET")]
    for secret in (TOKEN, source.model.key, "correct horse battery", *keys):
        assert secret.encode() not in content
        assert secret.encode() not in raw
    assert str(source.home).encode() not in content
    assert backup.stat().st_mode & 0o777 == 0o600


async def _signed_in(stack: Stack, http: httpx.AsyncClient, person: Person) -> Person:
    body = {"email": person.email, "password": "correct horse battery"}
    answer = await http.post("/api/auth/login", json=body)
    assert answer.status_code == 200, answer.text
    http.cookies.clear()
    http.headers["Authorization"] = f"Bearer {answer.json()['token']}"
    return Person(stack, http, person.id, person.name, person.email)


async def _shows_the_same(person: Person, moved: Person, done: Json) -> None:
    for path in ("/projects", "/labels", "/settings", f"/tasks/{done['id']}", f"/tasks/{done['id']}/diff"):
        here, there = await person.http.get(f"/api{path}"), await moved.http.get(f"/api{path}")
        assert here.status_code == 200, here.text
        assert there.text == here.text
    assert await moved.log(done) == await person.log(done)
    # The login that the backup was made under opens nothing there.
    stolen = await moved.http.get("/api/projects", headers=dict(person.http.headers))
    assert stolen.status_code == 401


async def _goes_on(moved: Person, source: Stack, project: Json, done: Json) -> None:
    """Keys open, the branch is known as ours, and numbers go on."""
    [(last,)] = moved.stack.rows("SELECT max(id) FROM run_events")
    task = await moved.task(project, "Greet once more", description=_editing(source, "second"))
    assert task["identifier"] == done["identifier"].replace("-1", "-2")
    for each in (done, task):
        await moved.execute(each)
    again, second = await moved.ended(done), await moved.ended(task)
    assert (again["executionStatus"], again["branchName"]) == ("done", done["branchName"]), again
    assert again["prNumber"] == done["prNumber"]
    assert second["executionStatus"] == "done", second
    for each in (again, second):  # a worker that still clears up writes rows, and the next backup is compared
        await cleared(moved, each["execution"]["runId"])
    for each in (done, task):
        log = await moved.log(each)
        assert [entry["seq"] for entry in log] == list(range(1, len(log) + 1))
    newer = "SELECT count(*) FROM run_events WHERE id > %s AND run_id = %s"
    assert moved.stack.rows(newer, last, second["execution"]["runId"]) == [(len(log),)]


def _back(backup: Path, key: Path, home: Path, debian_database: str) -> None:
    """Into the embedded PostgreSQL of a third home: every row is there again."""
    environment = {"OPENLINEAR_HOME": str(home), "PATH": "/usr/bin:/bin"}
    succeeds(environment, "key", "import", key)
    succeeds(environment, "restore", backup)
    server = EmbeddedPostgres(home, {"fsync": "off"})
    try:
        assert contents(server.start()) == contents(debian_database)
    finally:
        server.stop()
    stores = list((home / "repos" / "mirrors").glob("*.runs.git"))
    assert stores
    for store in stores:
        refs = subprocess.run(
            ["git", "-C", store, "for-each-ref"], capture_output=True, text=True, check=True
        )
        assert "refs/openlinear/runs/" in refs.stdout
