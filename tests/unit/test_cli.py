"""The command line answers in one line."""

import pytest
from typer.testing import CliRunner

from openlinear.cli import app


def test_what_is_wrong_with_the_environment_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_SECRET", "changeme")
    monkeypatch.setenv("API_PORT", "no number")
    result = CliRunner().invoke(app, ["up"])
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "JWT_SECRET: too weak" in result.stderr
    assert "API_PORT:" in result.stderr
    assert "changeme" not in result.output


@pytest.mark.parametrize("command", ["web", "worker"])
def test_a_lone_process_names_what_its_instance_shares(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://board@db/board")
    for name in ("JWT_SECRET", "OPENLINEAR_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    result = CliRunner().invoke(app, [command])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: JWT_SECRET, OPENLINEAR_SECRET_KEY must be set")
