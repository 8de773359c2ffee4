"""What the commands share: errors in one line, and a database for the while."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from pydantic import ValidationError
from rich.console import Console

from openlinear.embedded import EmbeddedPostgres
from openlinear.errors import StartError
from openlinear.onlyone import only_one
from openlinear.settings import Settings


@contextmanager
def plainly() -> Iterator[None]:
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
def database(settings: Settings, what: str) -> Iterator[str]:
    """The configured database's URL, else the embedded one's, started for the while if it is not up.

    The home is ours for that while, or an `openlinear up` would build on a server that we then stop.
    `what` tells others what they wait for.
    """
    server = EmbeddedPostgres(settings.openlinear_home)
    if settings.database_url:
        yield settings.database_url
    elif server.running():
        yield server.start()
    else:
        with own_database(settings, what) as url:
            yield url


@contextmanager
def own_database(settings: Settings, what: str) -> Iterator[str]:
    """The same, with the home ours in any case. StartError while OpenLinear runs on it."""
    with only_one(settings.openlinear_home, what):
        if settings.database_url:
            yield settings.database_url
            return
        server = EmbeddedPostgres(settings.openlinear_home)
        try:
            yield server.start()
        finally:
            server.stop()
