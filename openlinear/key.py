"""The commands behind `openlinear key`: python -m openlinear.key."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer

from openlinear.command import database, own_database, plainly
from openlinear.errors import StartError
from openlinear.keyfile import ask_passphrase, open_key, seal_key
from openlinear.rotation import KEY, rotate_file, rotate_given
from openlinear.say import Say
from openlinear.sealed import Resealed
from openlinear.secrets import find_secret, put_secret
from openlinear.settings import Settings
from openlinear.whole import refuse_taken, whole

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
_PassphraseFile = Annotated[Path | None, typer.Option()]


@app.command()
def export(file: Path, passphrase_file: _PassphraseFile = None) -> None:
    with plainly():
        settings = Settings()
        refuse_taken(file)
        secret = find_secret(settings.openlinear_home, os.environ, KEY)
        if not secret:
            raise StartError("There is no key here yet: `openlinear up` makes it at the first start.")
        sealed = seal_key(secret, ask_passphrase(passphrase_file, twice=True))
        with whole(file) as content:
            content.write(sealed)
        Say().line(f"{file} holds the key, under the passphrase. Keep it apart from the backups.")


@app.command("import")
def import_(file: Path, passphrase_file: _PassphraseFile = None) -> None:
    with plainly():
        settings = Settings()
        secret = open_key(file, ask_passphrase(passphrase_file, twice=False))
        new = put_secret(settings.openlinear_home, os.environ, KEY, secret)
        Say().line(
            "The key is this installation's now." if new else "This installation has that key already."
        )


@app.command()
def rotate() -> None:
    with plainly():
        settings, say = Settings(), Say()
        given = bool(os.environ.get(KEY))
        # Whoever gives the key says that the running processes have both; a file's key belongs to one `up`.
        place = database if given else own_database
        with (
            place(settings, "rotating the key") as url,
            _connected(url) as connection,
            say.step("Sealing everything with the new key"),
        ):
            if given:
                done = rotate_given(os.environ, connection)
            else:
                done = rotate_file(settings.openlinear_home, connection, settings.worker_lease_seconds)
        _tell(say, done, given)


@contextmanager
def _connected(url: str) -> Iterator["psycopg.Connection[Any]"]:
    try:
        with psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://", 1)) as connection:
            yield connection
    except psycopg.Error as error:
        raise StartError(f"The database refused: {str(error).splitlines()[0]}") from error


def _tell(say: Say, done: Resealed, given: bool) -> None:
    say.line(f"Secrets sealed with the new key: {done.count}.")
    for kind, count in done.unreadable.items():
        say.line(f"No key here opens {count} of the {kind}: they are as they were, to be entered again.")
    if given:
        say.line(f"Now take the old key out of {KEY}, and restart every web and engine process.")
    say.line(
        "Backups made until now open with the old key alone: keep what `openlinear key export` wrote of it "
        "as long as you keep them, make a new backup, and export the new key."
    )


if __name__ == "__main__":
    app()
