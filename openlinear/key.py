"""The commands behind `openlinear key`: python -m openlinear.key."""

import os
from pathlib import Path
from typing import Annotated

import typer

from openlinear.command import plainly
from openlinear.errors import StartError
from openlinear.keyfile import ask_passphrase, open_key, seal_key
from openlinear.say import Say
from openlinear.secrets import find_secret, put_secret
from openlinear.settings import Settings
from openlinear.whole import refuse_taken, whole

KEY = "OPENLINEAR_SECRET_KEY"
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


if __name__ == "__main__":
    app()
