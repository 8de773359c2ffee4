"""The commands behind `openlinear backup` and `restore`: python -m openlinear.backup."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import typer
from rich.filesize import decimal

from engine.errors import RunError
from openlinear.backup.make import make_backup
from openlinear.backup.manifest import Manifest
from openlinear.backup.restore import Restored, checked, restore_backup
from openlinear.command import database, own_database, plainly
from openlinear.errors import StartError
from openlinear.say import Say
from openlinear.secrets import find_secret
from openlinear.settings import Settings
from openlinear.whole import refuse_taken

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def backup(file: Path, with_mirrors: bool = False) -> None:
    say = Say()
    with plainly(), _said():
        settings = Settings()
        refuse_taken(file)
        secret = _secret(settings)
        if not secret:
            raise StartError(
                "There is no key and so no installation here: set OPENLINEAR_HOME to the one meant."
            )
        with database(settings, "writing a backup") as url, say.step("Writing the backup") as tell:
            manifest = asyncio.run(
                make_backup(settings, _libpq(url), secret, file, with_mirrors=with_mirrors, tell=tell)
            )
        rows = sum(table.rows for table in manifest.tables.values())
        size = decimal(file.stat().st_size)
        say.line(f"{file}: {size}, {rows} rows in {len(manifest.tables)} tables, {_files(manifest)} files")
        say.line("Its credentials are sealed. Keep the key apart from it: `openlinear key export FILE`.")


@app.command()
def restore(file: Path, without_key: bool = False) -> None:
    say = Say()
    with plainly(), _said():
        settings = Settings()
        with say.step("Checking the backup"):
            found = checked(settings, _secret(settings), file, without_key=without_key)
        with own_database(settings, "restoring a backup") as url, say.step("Restoring it") as tell:
            restored = asyncio.run(restore_backup(settings, url, file, found, tell))
        _tell(say, settings, restored)


@contextmanager
def _said() -> Iterator[None]:
    """What a server, a disk or git refused, as one line; a request to end unwinds, so that nothing stays."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    except RunError as error:
        raise StartError(error.reason) from error
    except psycopg.Error as error:
        raise StartError(f"The database refused: {str(error).splitlines()[0]}") from error
    except OSError as error:
        raise StartError(f"{error.filename or 'This machine'}: {error.strerror}") from error


def _files(manifest: Manifest) -> int:
    return len(manifest.entries) - len(manifest.tables)


def _tell(say: Say, settings: Settings, restored: Restored) -> None:
    manifest = restored.manifest
    rows = sum(table.rows for table in manifest.tables.values())
    say.line(f"Restored {rows} rows of {manifest.made_at:%Y-%m-%d %H:%M} UTC. Everybody signs in anew.")
    if restored.ended_runs:
        say.line(f"Runs that were under way then: {restored.ended_runs}. They ended; their cards say why.")
    if manifest.sandbox:
        say.line(
            f"Agents ran in the sandbox {manifest.sandbox} there; here SANDBOX={settings.sandbox} decides."
        )
    say.line(
        "Start with `openlinear up`. Where the installation it came from still runs on the same Docker "
        "engine, set INSTALLATION to a name of its own before."
    )


def _secret(settings: Settings) -> str:
    return find_secret(settings.openlinear_home, os.environ, "OPENLINEAR_SECRET_KEY")


def _libpq(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


if __name__ == "__main__":
    app()
