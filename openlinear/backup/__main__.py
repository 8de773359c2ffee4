"""The commands behind `openlinear backup` and `restore`: python -m openlinear.backup."""

import asyncio
import os
from pathlib import Path

import typer

from openlinear.backup.make import make_backup
from openlinear.backup.restore import Restored, checked, restore_backup
from openlinear.command import database, plainly
from openlinear.errors import StartError
from openlinear.onlyone import only_one
from openlinear.say import Say
from openlinear.secrets import find_secret
from openlinear.settings import Settings
from openlinear.whole import refuse_taken

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def backup(file: Path, with_mirrors: bool = False) -> None:
    say = Say()
    with plainly():
        settings = Settings()
        refuse_taken(file)
        secret = _secret(settings)
        if not secret:
            raise StartError(
                "There is no key and so no installation here: set OPENLINEAR_HOME to the one meant."
            )
        with database(settings) as url, say.step("Writing the backup") as tell:
            manifest = asyncio.run(
                make_backup(settings, _libpq(url), secret, file, with_mirrors=with_mirrors, tell=tell)
            )
        rows = sum(table.rows for table in manifest.tables.values())
        say.line(f"{file}: {file.stat().st_size / 1e6:.1f} MB, {rows} rows in {len(manifest.tables)} tables")
        say.line("Its credentials are sealed. Keep the key apart from it: `openlinear key export FILE`.")


@app.command()
def restore(file: Path, without_key: bool = False) -> None:
    say = Say()
    with plainly():
        settings = Settings()
        with say.step("Checking the backup"):
            found = checked(settings, _secret(settings), file, without_key=without_key)
        with (
            only_one(settings.openlinear_home, "restoring a backup"),
            database(settings) as url,
            say.step("Restoring it") as tell,
        ):
            restored = asyncio.run(restore_backup(settings, url, file, found, tell))
        _tell(say, settings, restored)


def _tell(say: Say, settings: Settings, restored: Restored) -> None:
    manifest = restored.manifest
    rows = sum(table.rows for table in manifest.tables.values())
    say.line(f"Restored {rows} rows of {manifest.made_at:%Y-%m-%d %H:%M} UTC. Everybody signs in anew.")
    if restored.ended_runs:
        say.line(f"{restored.ended_runs} runs were under way then; they have ended, and their cards say why.")
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
