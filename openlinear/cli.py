"""The command line: `openlinear up` for one machine, its parts one by one for a team's instance."""

import asyncio
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version as installed_version
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from openlinear import frontend, processes
from openlinear.embedded import EmbeddedPostgres
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


@app.command()
def up() -> None:
    """Start everything on this machine: database, engine and board. Ctrl-C stops it all."""
    with _plainly():
        Up(Settings(), Say()).run()


@app.command()
def migrate() -> None:
    """Bring the database's tables up to date."""
    with _plainly(), _database() as url:
        command = processes.migration({**os.environ, "DATABASE_URL": url})
        if subprocess.run(command.argv, env=command.env, cwd=command.cwd, check=False).returncode:
            raise typer.Exit(1)
        Say().line("The database is up to date.")


@app.command()
def build() -> None:
    """Build the pages, unless they are built from the sources as they are."""
    with _plainly(), Say().step("Building the pages") as tell:
        frontend.build(tell)


@app.command()
def web() -> None:
    """Run one web process alone, as a team's instance does. It wants DATABASE_URL and the keys."""
    with _plainly():
        processes.become(processes.web(_complete(Settings()), os.environ))


@app.command()
def worker(
    name: Annotated[str, typer.Option(help="Names it for good; one process a name.")] = socket.gethostname(),
) -> None:
    """Run one engine process alone, as a team's instance does. It wants DATABASE_URL and the keys."""
    with _plainly():
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
def version() -> None:
    """Print the version."""
    Say().line(installed_version("openlinear"))


@contextmanager
def _plainly() -> Iterator[None]:
    """Turn what is wrong into one line on standard error and exit code 1."""
    try:
        yield
    except StartError as error:
        reason = str(error)
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}".replace(": Value error,", ":")
            for e in error.errors(include_input=False)
        ]
        reason = "; ".join(problems)
    else:
        return
    Console(stderr=True, highlight=False, soft_wrap=True, markup=False).print(f"Error: {reason}")
    raise typer.Exit(1)


@contextmanager
def _database() -> Iterator[str]:
    """The configured database's URL, else the embedded one's, started for the while if it is not up."""
    settings = Settings()
    if settings.database_url:
        yield settings.database_url
        return
    server = EmbeddedPostgres(settings.openlinear_home)
    was_running = server.running()
    url = server.start()
    try:
        yield url
    finally:
        if not was_running:
            server.stop()


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
