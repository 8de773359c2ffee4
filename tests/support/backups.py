"""The commands around backups as a person types them, and what a database holds."""

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier

from openlinear import vault
from openlinear.backup.archive import Writer
from openlinear.backup.make import make_backup
from openlinear.backup.manifest import Manifest
from openlinear.backup.tables import LEFT_OUT
from openlinear.settings import Settings

PASSPHRASE = "a passphrase of the suite"
ROOT = Path(__file__).parents[2]


KEY = "fedcba9876543210" * 4


def environment_of(home: Path, database: str, **settings: str) -> dict[str, str]:
    """That of an installation in `home` with the key that the fixture `product` seals with."""
    kept = {name: value for name, value in os.environ.items() if name != "REPOS_DIR"}
    mine = {"OPENLINEAR_HOME": str(home), "DATABASE_URL": database, "OPENLINEAR_SECRET_KEY": KEY}
    return {**kept, **mine, **settings}


def openlinear(
    environment: Mapping[str, str], *arguments: str | Path, said: str | None = None
) -> "subprocess.CompletedProcess[str]":
    """`openlinear ARGUMENTS`; with the passphrase on standard input for the key's commands."""
    command = [sys.executable, "-m", "openlinear.cli", *map(str, arguments)]
    given = [*command, "--passphrase-file", "/dev/stdin"] if arguments[0] == "key" else command
    return subprocess.run(
        given,
        env=dict(environment),
        cwd=ROOT,
        input=PASSPHRASE if said is None else said,
        text=True,
        capture_output=True,
        check=False,
        timeout=120,
    )


def begin(environment: Mapping[str, str], *arguments: str | Path) -> "subprocess.Popen[bytes]":
    """The same, under way."""
    command = [sys.executable, "-m", "openlinear.cli", *map(str, arguments)]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(command, env=dict(environment), cwd=ROOT, stdout=quiet, stderr=quiet)


def succeeds(environment: Mapping[str, str], *arguments: str | Path) -> str:
    """What it said."""
    done = openlinear(environment, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def backed_up(environment: Mapping[str, str], path: Path) -> Path:
    """A backup, without the command's start around it."""
    settings = Settings(openlinear_home=Path(environment["OPENLINEAR_HOME"]))
    url = libpq(environment["DATABASE_URL"])
    await make_backup(settings, url, KEY, path, with_mirrors=False, tell=lambda _: None)
    return path


def refused(environment: Mapping[str, str], *arguments: str | Path) -> str:
    """The one line that says why."""
    done = openlinear(environment, *arguments)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def libpq(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def contents(url: str) -> dict[str, list[str]]:
    """Every row that a backup holds, by table."""
    query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> ALL(%s)"
    with psycopg.connect(libpq(url)) as connection:
        connection.execute("SET timezone TO 'UTC'")
        names = [name for (name,) in connection.execute(query, [list(LEFT_OUT)])]
        rows = SQL("SELECT t::text FROM {} t ORDER BY 1")
        return {name: [row for (row,) in connection.execute(rows.format(Identifier(name)))] for name in names}


def reseal(backup: Path, changes: Mapping[str, bytes]) -> None:
    """The backup with other files in it, sealed by the key that sealed it."""
    with tarfile.open(backup) as old:
        files = {info.name: old.extractfile(info).read() for info in old}  # type: ignore[union-attr]
    manifest = Manifest.model_validate_json(files["manifest"])
    backup.unlink()
    with backup.open("wb") as file:
        writer = Writer(file)
        for name in manifest.entries:
            writer.add(name, io.BytesIO(changes.get(name, files[name])))
        manifest.entries = writer.entries
        writer.finish(manifest, lambda said: vault.signature(KEY, said))
