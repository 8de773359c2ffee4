"""Backups and restores on a real database: what they refuse, and what they leave behind then (nothing)."""

import gzip
import io
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import text

from engine.client import NewRun
from openlinear import db
from openlinear.backup.restore import checked
from openlinear.engine_client import engine_client
from openlinear.errors import StartError
from openlinear.migrate import alembic_config, locked, migrate, upgrade
from openlinear.onlyone import only_one
from openlinear.services import providers
from openlinear.services.tasks import TaskInput, create_task
from openlinear.services.views import Actor, ProjectView
from openlinear.settings import Settings
from tests.support.backups import (
    KEY,
    backed_up,
    begin,
    contents,
    environment_of,
    libpq,
    openlinear,
    refused,
    succeeds,
)
from tests.support.postgres import _fresh

Environment = dict[str, str]


@pytest.fixture
async def here(ada: Actor, project: ProjectView, database: str, tmp_path: Path) -> Environment:
    """An installation with a project, a task whose run is queued, and a provider's key."""
    async with db.transaction() as session:
        await providers.connect(session, ada, "anthropic", "a key that nobody may read")
        task = await create_task(session, ada, TaskInput(project_id=project.id, title="Keep me"))
        run = NewRun(
            task_id=task.id,
            project_id=project.id,
            user_id=ada.id,
            title=task.title,
            prompt=task.title,
            agent="opencode",
            model="anthropic/any",
            author_name=ada.name,
            author_email=ada.email,
            base_branch="main",
        )
        await engine_client().start(session, run, limit=3)
    return environment_of(tmp_path / "here", database)


@pytest.fixture
def there(empty_database: str, tmp_path: Path) -> Environment:
    """Another, empty one with the same key."""
    return environment_of(tmp_path / "there", empty_database)


@pytest.fixture
async def backup(here: Environment, tmp_path: Path) -> Path:
    return await backed_up(here, tmp_path / "backup.tar.gz")


def _wrong_with(path: Path, environment: Environment) -> str:
    """What `openlinear restore` says of a file before it goes on to anything else."""
    settings = Settings(openlinear_home=Path(environment["OPENLINEAR_HOME"]))
    with pytest.raises(StartError) as caught:
        checked(settings, environment["OPENLINEAR_SECRET_KEY"], path, without_key=False)
    return str(caught.value)


def _tables(environment: Environment) -> int:
    with psycopg.connect(libpq(environment["DATABASE_URL"])) as connection:
        row = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert row is not None
    return int(row[0])


def _untouched(environment: Environment) -> None:
    assert _tables(environment) == 0
    home = Path(environment["OPENLINEAR_HOME"])
    assert [path for path in home.rglob("*") if path.name != "up.lock"] == []


def test_a_queued_run_ends_and_nothing_starts_it(here: Environment, there: Environment, backup: Path) -> None:
    before = contents(here["DATABASE_URL"])
    succeeds(there, "restore", backup)
    after = contents(there["DATABASE_URL"])
    for name in ("users", "projects", "provider_keys", "settings", "labels"):
        assert after[name] == before[name]
    with psycopg.connect(libpq(there["DATABASE_URL"])) as connection:
        query = "SELECT status, error, cleared_at IS NOT NULL FROM runs"
        [(status, error, cleared)] = connection.execute(query).fetchall()
        assert (status, cleared) == ("failed", True)
        assert "under way when the backup of" in error
        assert connection.execute("SELECT count(*) FROM dbos.workflow_status").fetchone() == (0,)
        [(last,)] = connection.execute("SELECT last_value FROM news_id_seq").fetchall()
        [(newest,)] = connection.execute(
            "SELECT max(id) FROM (SELECT id FROM changes UNION SELECT id FROM run_events) news"
        ).fetchall()
        assert last == newest


def test_a_database_in_use_is_refused(there: Environment, backup: Path) -> None:
    with psycopg.connect(libpq(there["DATABASE_URL"])):
        assert "Somebody uses this database now" in refused(there, "restore", backup)
    _untouched(there)


async def test_a_database_with_rows_is_refused(here: Environment, backup: Path, tmp_path: Path) -> None:
    await db.close()
    await engine_client().close()
    before = contents(here["DATABASE_URL"])
    other = {**here, "OPENLINEAR_HOME": str(tmp_path / "other")}
    assert "has rows" in refused(other, "restore", backup)
    assert contents(here["DATABASE_URL"]) == before


def test_a_migrated_but_empty_database_will_do(there: Environment, backup: Path) -> None:
    migrate(there["DATABASE_URL"])
    succeeds(there, "restore", backup)
    assert len(contents(there["DATABASE_URL"])["projects"]) == 1


def test_another_key_is_refused_unless_that_is_meant(there: Environment, backup: Path) -> None:
    other = {**there, "OPENLINEAR_SECRET_KEY": "0123456789abcdef" * 4}
    said = _wrong_with(backup, other)
    assert "its 1 stored credentials" in said
    assert "key import" in said
    _untouched(other)
    succeeds(other, "restore", backup, "--without-key")
    assert len(contents(other["DATABASE_URL"])["provider_keys"]) == 1


def test_one_of_several_keys_is_enough_when_it_is_the_right_one(there: Environment, backup: Path) -> None:
    home = Settings(openlinear_home=Path(there["OPENLINEAR_HOME"]))
    found = checked(home, f"{'0123456789abcdef' * 4},{KEY}", backup, without_key=False)
    assert found.manifest.sealed == 1


def _cut(raw: bytes) -> bytes:
    return raw[: len(raw) // 2]


def _flip(raw: bytes) -> bytes:
    middle = len(raw) // 2
    return raw[:middle] + bytes([raw[middle] ^ 1]) + raw[middle + 1 :]


def _append(raw: bytes) -> bytes:
    return raw + gzip.compress(b"more")


def _no_backup(raw: bytes) -> bytes:
    return b"PK\x03\x04 something else"


def _rewritten(
    change: Callable[[tarfile.TarInfo, bytes], tuple[tarfile.TarInfo, bytes]],
) -> Callable[[bytes], bytes]:
    """The same archive with each file changed by `change`, as somebody with a text editor would."""

    def rewrite(raw: bytes) -> bytes:
        out = b""
        with tarfile.open(fileobj=io.BytesIO(raw), mode="r:gz") as old:
            for found in old:
                file = old.extractfile(found)
                assert file is not None
                info, content = change(found, file.read())
                info.size = len(content)
                out += info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % tarfile.BLOCKSIZE)
        return gzip.compress(out + bytes(2 * tarfile.BLOCKSIZE))

    return rewrite


def _another_title(info: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return info, content.replace(b"Keep me", b"Kept me") if info.name == "tables/tasks" else content


def _newer_format(info: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return info, content.replace(b" 1\n", b" 2\n") if info.name == "format" else content


def _newer_tables(info: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    assert head is not None
    return info, content.replace(f'"{head}"'.encode(), b'"9999"') if info.name == "manifest" else content


def _another_count(info: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return info, content.replace(b'"sealed":1', b'"sealed":0') if info.name == "manifest" else content


def _renamed(name: str) -> Callable[[bytes], bytes]:
    def rename(info: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
        info.name = name if info.name == "tables/tasks" else info.name
        return info, content

    return _rewritten(rename)


def _linked(info: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    if info.name == "tables/tasks":
        info.type, info.linkname, content = tarfile.SYMTYPE, "/etc/passwd", b""
    return info, content


HARM = {
    "cut": (_cut, "damaged"),
    "flipped": (_flip, "damaged"),
    "appended": (_append, "something follows its end"),
    "another file": (_no_backup, "damaged: it is not gzipped"),
    "a gzip of something": (lambda _: gzip.compress(bytes(range(256)) * 40), "damaged"),
    "edited rows": (_rewritten(_another_title), "its files are not those that it names"),
    "edited manifest": (_rewritten(_another_count), "changed after it was made"),
    "newer format": (_rewritten(_newer_format), "made by a newer OpenLinear"),
    "newer tables": (_rewritten(_newer_tables), "tables are newer"),
    "path traversal": (_renamed("../../../tmp/escaped"), "holds something that no backup holds"),
    "absolute path": (_renamed("/etc/cron.d/escaped"), "holds something that no backup holds"),
    "traversal below kept": (_renamed("kept/../../escaped"), "holds something that no backup holds"),
    "twice the same name": (_renamed("tables/users"), "holds something that no backup holds"),
    "a symbolic link": (_rewritten(_linked), "holds something that no backup holds"),
}


def test_what_is_no_sound_backup_changes_nothing(there: Environment, backup: Path) -> None:
    sound = backup.read_bytes()
    for harm, (change, reason) in HARM.items():
        backup.write_bytes(change(sound))
        assert reason in _wrong_with(backup, there), harm
    assert "damaged" in refused(there, "restore", backup)
    _untouched(there)
    backup.write_bytes(sound)
    succeeds(there, "restore", backup)


def test_a_header_that_asks_for_memory_is_refused(there: Environment, tmp_path: Path) -> None:
    """tarfile reads what a pax header announces into memory."""
    info = tarfile.TarInfo("format")
    info.type, info.size = tarfile.XHDTYPE, 8 << 30
    path = tmp_path / "bomb.tar.gz"
    path.write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(4096)))
    assert "holds something that no backup holds" in _wrong_with(path, there)


def test_more_than_the_disk_holds_is_refused_by_its_announcement(there: Environment, tmp_path: Path) -> None:
    info = tarfile.TarInfo("tables/tasks")
    info.size = 1 << 60
    path = tmp_path / "bomb.tar.gz"
    path.write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(4096)))
    assert "make room first" in _wrong_with(path, there)


@pytest.fixture
def oldest(postgres_url: str) -> Iterator[str]:
    """A database with the tables of our first migration, and the run of a task in it."""
    first = ScriptDirectory.from_config(alembic_config()).get_bases()[0]
    for url in _fresh(postgres_url, "template0"):
        with locked(url) as connection:
            upgrade(connection, first)
            connection.commit()
        with psycopg.connect(libpq(url)) as connected:
            connected.execute(OLD_RUN)
        yield url


OLD_RUN = """
INSERT INTO runs (id, task_id, project_id, user_id, created_at, ended_at, title, prompt, agent, model,
    author_name, author_email, base_branch, branch, status, progress, message, cancel_requested, additions,
    deletions, files_changed, tokens_in, tokens_out, cost, active_seconds, last_seq)
VALUES (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), now(), now(), 'Old',
    'Old', 'opencode', 'm', 'Ada', 'a@b.c', 'main', 'b', 'done', 100, '', false, 0, 0, 0, 0, 0, 0, 0, 0)
"""


def test_a_backup_of_older_tables_is_brought_forward(
    oldest: str, database: str, there: Environment, tmp_path: Path
) -> None:
    path = tmp_path / "old.tar.gz"
    succeeds(environment_of(tmp_path / "old", oldest), "backup", path)
    succeeds(there, "restore", path)
    restored = contents(there["DATABASE_URL"])
    assert len(restored["runs"]) == 1
    assert restored.keys() == contents(database).keys()


def test_a_backup_never_takes_the_place_of_a_file(here: Environment, backup: Path) -> None:
    before = backup.read_bytes()
    assert "is there already" in refused(here, "backup", backup)
    assert backup.read_bytes() == before
    assert [path.name for path in backup.parent.iterdir() if path.is_file()] == [backup.name]


def test_a_backup_that_fails_leaves_no_file(tmp_path: Path, empty_database: str) -> None:
    environment = environment_of(tmp_path / "here", empty_database)
    assert "nothing to back up" in refused(environment, "backup", tmp_path / "backup.tar.gz")
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []


def test_a_backup_waits_for_a_migration_and_ended_meanwhile_leaves_nothing(
    here: Environment, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    waits = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid() AND query LIKE '%pg_try_advisory_lock_shared%'"
    )
    with locked(here["DATABASE_URL"]) as migrating:
        process = begin(here, "backup", target / "backup.tar.gz")
        while not migrating.execute(text(waits)).scalar():
            assert process.poll() is None
            migrating.rollback()  # within a transaction the answer stays the same
            time.sleep(0.05)
        assert [path.suffix for path in target.iterdir()] != [".gz"]
        process.terminate()
        assert process.wait(20) == 143
    assert list(target.iterdir()) == []


def test_a_home_on_which_openlinear_runs_is_refused(there: Environment, backup: Path) -> None:
    with only_one(Path(there["OPENLINEAR_HOME"]), "http://localhost:3001"):
        said = refused(there, "restore", backup)
    assert "OpenLinear runs already on" in said
    assert "http://localhost:3001" in said
    _untouched(there)


def test_a_key_goes_to_another_installation(tmp_path: Path, empty_database: str) -> None:
    here = environment_of(tmp_path / "here", empty_database)
    there = {**environment_of(tmp_path / "there", empty_database), "OPENLINEAR_SECRET_KEY": ""}
    path = tmp_path / "key"
    succeeds(here, "key", "export", path)
    assert path.stat().st_mode & 0o777 == 0o600
    kept = tmp_path / "there" / "secrets" / "openlinear_secret_key"
    wrong = openlinear(there, "key", "import", path, said="another passphrase\n")
    assert wrong.stderr == "Error: The passphrase is not the one of this key, or the file was changed.\n"
    assert not kept.exists()
    succeeds(there, "key", "import", path)
    assert kept.read_text() == KEY
    assert kept.stat().st_mode & 0o777 == 0o600
    kept.write_text("another key")
    assert "holds another key" in refused(there, "key", "import", path)
    assert kept.read_text() == "another key"
