"""The command line's one-time links, on a real PostgreSQL."""

from collections.abc import Callable, Iterator

import psycopg
import pytest
from typer.testing import CliRunner, Result

from openlinear import firstlink
from openlinear.cli import app
from openlinear.services.links import digest
from openlinear.settings import get_settings

SECRET = "0123456789abcdef" * 4
Command = Callable[..., Result]


@pytest.fixture
def command(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    for name, value in {
        "DATABASE_URL": database,
        "JWT_SECRET": SECRET,
        "PUBLIC_URL": "http://board.test",
        "REGISTRATION": "invitation",
    }.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    yield lambda *arguments: CliRunner().invoke(app, list(arguments))
    get_settings.cache_clear()


def rows(database: str, statement: str) -> list[tuple[object, ...]]:
    plain = database.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(plain, autocommit=True) as connection:
        cursor = connection.execute(statement)  # type: ignore[call-overload]
        return cursor.fetchall() if cursor.description else []


def ada(database: str, admin: bool) -> None:
    rows(
        database,
        "INSERT INTO users (id, name, username, email, admin, created_at) "
        f"VALUES (gen_random_uuid(), 'Ada', 'ada', 'ada@example.com', {admin}, now())",
    )


def test_a_link_is_alone_on_standard_output_and_kept_as_a_digest(database: str, command: Command) -> None:
    ada(database, admin=False)
    for arguments, page in ((("invite",), "register"), (("reset-password", "ADA@example.com"), "reset")):
        result = command(*arguments)
        assert result.exit_code == 0, result.output
        address, _, token = result.stdout.strip().partition("#")
        assert address == f"http://board.test/{page}"
        kept = rows(database, "SELECT token_hash FROM one_time_links ORDER BY created_at DESC LIMIT 1")
        assert kept == [(digest(token),)]


def test_the_administrators_link_is_there_until_there_is_one(database: str, command: Command) -> None:
    result = command("administrator")
    assert result.stdout.strip() == f"http://board.test/administrator#{firstlink.token(SECRET)}"
    ada(database, admin=True)
    result = command("administrator")
    assert result.exit_code == 1
    assert "There is an administrator already" in result.stderr


def test_what_cannot_be_is_one_line(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    result = command("reset-password", "nobody@example.com")
    assert (result.exit_code, result.stderr) == (1, "Error: No account has this email.\n")
    monkeypatch.setenv("REGISTRATION", "closed")
    get_settings.cache_clear()
    result = command("invite")
    assert result.exit_code == 1
    assert "REGISTRATION=invitation" in result.stderr
