"""The command line: `openlinear up` for one machine, its parts one by one for a team's instance."""

import asyncio
import os
import socket
import subprocess
from datetime import datetime
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated

import typer

from openlinear import frontend, processes
from openlinear.command import database, plainly
from openlinear.errors import StartError
from openlinear.say import Say
from openlinear.settings import Settings
from openlinear.up import Up

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A self-hosted board whose cards are done by coding agents.",
)

key = typer.Typer(no_args_is_help=True, help="The key that seals stored credentials.")
app.add_typer(key, name="key")


@app.command()
def up() -> None:
    """Start everything on this machine: database, engine and board. Ctrl-C stops it all."""
    with plainly():
        Up(Settings(), Say()).run()


@app.command()
def migrate() -> None:
    """Bring the database's tables up to date."""
    with plainly(), database(Settings(), "migrating") as url:
        command = processes.migration({**os.environ, "DATABASE_URL": url})
        if subprocess.run(command.argv, env=command.env, cwd=command.cwd, check=False).returncode:
            raise typer.Exit(1)
        Say().line("The database is up to date.")


@app.command()
def build() -> None:
    """Build the pages, unless they are built from the sources as they are."""
    with plainly(), Say().step("Building the pages") as tell:
        frontend.build(tell)


@app.command()
def web() -> None:
    """Run one web process alone, as a team's instance does. It wants DATABASE_URL and the keys."""
    with plainly():
        processes.become(processes.web(_complete(Settings()), os.environ))


@app.command()
def worker(
    name: Annotated[str, typer.Option(help="Names it for good; one process a name.")] = socket.gethostname(),
) -> None:
    """Run one engine process alone, as a team's instance does. It wants DATABASE_URL and the keys."""
    with plainly():
        _complete(Settings())
        processes.become(processes.worker(os.environ, name))


@app.command()
def doctor(
    network: Annotated[bool, typer.Option(help="Try the projects' servers, too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="For a program.")] = False,
) -> None:
    """Say what is wrong here, and the cure. Changes nothing; exit code 1 when there is an error."""
    from openlinear.doctor import as_json, as_text, examine  # noqa: PLC0415 - it loads much that a start does not need

    findings = asyncio.run(examine(ask_remotes=network))
    typer.echo(as_json(findings) if json else as_text(findings))
    raise typer.Exit(any(finding.level == "error" for finding in findings))


@app.command()
def backup(
    file: Annotated[
        Path | None, typer.Argument(help="A new file; one with the date, in this folder, unless named.")
    ] = None,
    with_mirrors: Annotated[
        bool,
        typer.Option("--with-mirrors", help="The projects' repositories too, which can be fetched again."),
    ] = False,
) -> None:
    """Write all that OpenLinear holds to one file, while it runs or not. The key is exported apart."""
    name = file or Path(f"openlinear-{datetime.now():%Y-%m-%d-%H%M%S}.tar.gz")
    _become("openlinear.backup", "backup", name, *(["--with-mirrors"] if with_mirrors else []))


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="What `openlinear backup` wrote.")],
    without_key: Annotated[
        bool, typer.Option("--without-key", help="Though the key that sealed its credentials is not here.")
    ] = False,
) -> None:
    """Fill a new, empty installation from a backup."""
    _become("openlinear.backup", "restore", file, *(["--without-key"] if without_key else []))


_Passphrase = Annotated[
    Path | None,
    typer.Option(help="Holds the passphrase in its first line, as /dev/stdin may; asked for unless given."),
]


@key.command("export")
def key_export(
    file: Annotated[Path, typer.Argument(help="A new file.")], passphrase_file: _Passphrase = None
) -> None:
    """Write the key that seals stored credentials to a file, under a passphrase."""
    _become("openlinear.key", "export", file, *_given(passphrase_file))


@key.command("import")
def key_import(
    file: Annotated[Path, typer.Argument(help="What `openlinear key export` wrote.")],
    passphrase_file: _Passphrase = None,
) -> None:
    """Make an exported key this installation's own, before a backup is restored into it."""
    _become("openlinear.key", "import", file, *_given(passphrase_file))


@key.command("rotate")
def key_rotate() -> None:
    """Make a new key and seal everything with it. Export the old one before: older backups need it."""
    _become("openlinear.key", "rotate", None)


@app.command()
def disk(
    clean: Annotated[bool, typer.Option("--clean", help="Have the janitor make its round first.")] = False,
) -> None:
    """Show what takes space, and what the janitor found."""
    from openlinear.disk import show  # noqa: PLC0415 - as above

    with plainly(), database(Settings(), "measuring the disk") as url:
        os.environ["DATABASE_URL"] = url
        asyncio.run(show(Say(), clean=clean))


@app.command()
def invite() -> None:
    """Print a link by which one person may make an account."""
    from openlinear import console  # noqa: PLC0415 - as above

    with plainly(), database(Settings(), "making a link") as url:
        os.environ["DATABASE_URL"] = url
        _print_link(asyncio.run(console.invitation()), "It works once, for 7 days.")


@app.command("reset-password")
def reset_password(email: Annotated[str, typer.Argument(help="Whose password it is.")]) -> None:
    """Print a link by which somebody chooses a new password."""
    from openlinear import console  # noqa: PLC0415 - as above

    with plainly(), database(Settings(), "making a link") as url:
        os.environ["DATABASE_URL"] = url
        _print_link(asyncio.run(console.password_link(email)), "It works once, for 60 minutes.")


@app.command()
def administrator() -> None:
    """Print the link to the first administrator, which `openlinear up` prints as well."""
    from openlinear import console  # noqa: PLC0415 - as above

    with plainly(), database(Settings(), "looking for administrators") as url:
        _print_link(console.administrator_link(Settings(), url), "It works once.")


@app.command()
def version() -> None:
    """Print the version."""
    Say().line(installed_version("openlinear"))


def _print_link(link: str, how_long: str) -> None:
    """The link alone on standard output, for a script."""
    typer.echo(f"{how_long} Give it to nobody else:", err=True)
    typer.echo(link)


def _given(passphrase_file: Path | None) -> list[str]:
    return ["--passphrase-file", str(passphrase_file.absolute())] if passphrase_file else []


def _become(module: str, command: str, file: Path | None, *options: str) -> None:
    """Go on as another program of ours. Paths are as seen from here."""
    with plainly():
        settings = Settings()
        home = str(settings.openlinear_home.expanduser().absolute())
        named = ("--", str(file.expanduser().absolute())) if file else ()
        arguments = (command, *options, *named)
        processes.become(processes.job(module, {**os.environ, "OPENLINEAR_HOME": home}, *arguments))


def _complete(settings: Settings) -> Settings:
    given = {
        "DATABASE_URL": settings.database_url,
        "JWT_SECRET": settings.jwt_secret.get_secret_value(),
        "OPENLINEAR_SECRET_KEY": settings.openlinear_secret_key.get_secret_value(),
    }
    missing = [name for name, value in given.items() if not value]
    if missing:
        raise StartError(f"{', '.join(missing)} must be set: every process of an instance shares them.")
    return settings


if __name__ == "__main__":
    app()
