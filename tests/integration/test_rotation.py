"""`openlinear key rotate` on a real database: what it does, what it refuses, and a kill between two steps."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlmodel import SQLModel

import openlinear.models  # noqa: F401 - the tables
from engine.models import Worker
from openlinear import db, rotation, vault
from openlinear.onlyone import only_one
from openlinear.sealed import SEALED, reseal
from openlinear.secrets import find_secret, replace_secret
from openlinear.services import credentials, projects, providers
from openlinear.services.views import Actor
from openlinear.settings import get_settings
from tests.support.backups import KEY, ROOT, environment_of, libpq
from tests.support.product import Workerless

SECRET, PASSWORD = "sk-to-be-kept", "the remote's password"
NAME = "OPENLINEAR_SECRET_KEY"


@pytest.fixture
async def home(ada: Actor, product: Workerless, tmp_path: Path) -> Path:
    """An installation whose key is in its file, with a provider's key and a remote's credential."""
    async with db.transaction() as session:
        await providers.connect(session, ada, "anthropic", SECRET)
    url = "https://example.com/acme/cart.git"
    await projects.create_project(
        ada,
        projects.ProjectInput(name="Cart", clone_url=url, remote_username="ada", remote_password=PASSWORD),
    )
    (tmp_path / "secrets").mkdir(mode=0o700)
    replace_secret(tmp_path, NAME, KEY)
    return tmp_path


def rotate(database: str, home: Path, key: str = "") -> "subprocess.CompletedProcess[str]":
    environment = environment_of(home, database, OPENLINEAR_SECRET_KEY=key)
    command = [sys.executable, "-m", "openlinear.cli", "key", "rotate"]
    return subprocess.run(
        command, env=environment, cwd=ROOT, text=True, capture_output=True, check=False, timeout=60
    )


def sealed(database: str) -> dict[str, str]:
    with psycopg.connect(libpq(database)) as connection:
        return {
            one.purpose: value
            for one in SEALED
            for (value,) in connection.execute(f"SELECT {one.column} FROM {one.table}")
            if value is not None
        }


def opened(database: str, key: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a product with this key reads."""
    monkeypatch.setenv(NAME, key)
    get_settings.cache_clear()
    found = sealed(database)
    return [
        vault.unseal(credentials.PROVIDER, found[credentials.PROVIDER]),
        credentials.unseal_remote(found[credentials.REMOTE])[1],
    ]


async def test_a_new_key_seals_everything(database: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = rotate(database, home)
    assert done.returncode == 0, done.stderr
    assert "sealed with the new key: 2" in done.stdout
    assert "Backups made until now open with the old key alone" in done.stdout
    fresh = find_secret(home, {}, NAME)
    assert fresh not in done.stdout
    assert KEY not in fresh
    assert {path.name for path in (home / "secrets").iterdir()} == {"openlinear_secret_key"}
    assert (home / "secrets" / "openlinear_secret_key").stat().st_mode & 0o777 == 0o600
    assert opened(database, fresh, monkeypatch) == [SECRET, PASSWORD]
    assert not any(vault.opens(KEY, purpose, one) for purpose, one in sealed(database).items())


@pytest.mark.parametrize("step", ["reseal", "commit", "last"])
async def test_cut_short_everything_is_read_and_the_next_finishes_it(
    database: str, home: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with psycopg.connect(libpq(database)) as connection, pytest.raises(Killed):
        if step == "reseal":
            monkeypatch.setattr(rotation, "reseal", die)
        elif step == "commit":
            monkeypatch.setattr(rotation, "reseal", lambda *given: die(reseal(*given)))
        else:
            steps: Iterator[Callable[..., None]] = iter([replace_secret, die])

            def next_step(where: Path, name: str, value: str) -> None:
                next(steps)(where, name, value)

            monkeypatch.setattr(rotation, "replace_secret", next_step)
        try:
            rotation.rotate_file(home, connection, 15)
        finally:
            if step != "last":
                connection.rollback()
    between = find_secret(home, {}, NAME)
    assert opened(database, between, monkeypatch) == [SECRET, PASSWORD]
    done = rotate(database, home)
    assert done.returncode == 0, done.stderr
    assert find_secret(home, {}, NAME) == vault.parts(between)[0]
    assert opened(database, find_secret(home, {}, NAME), monkeypatch) == [SECRET, PASSWORD]


async def test_it_is_refused_while_anything_runs(database: str, home: Path) -> None:
    with only_one(home, "a board"):
        assert "OpenLinear runs already" in rotate(database, home).stderr
    async with db.transaction() as session:
        session.add(Worker(id="w", name="main", version="3"))
    assert "stop all of it first" in rotate(database, home).stderr
    assert find_secret(home, {}, NAME) == KEY


async def test_a_key_of_the_environment_goes_by_two_steps(
    database: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = rotate(database, home, key=KEY)
    assert refused.returncode == 1
    assert "to NEW,OLD for every web and engine process" in refused.stderr
    fresh = os.urandom(32).hex()
    done = rotate(database, home, key=f"{fresh},{KEY}")
    assert done.returncode == 0, done.stderr
    assert "take the old key out" in done.stdout
    assert opened(database, fresh, monkeypatch) == [SECRET, PASSWORD]
    assert find_secret(home, {}, NAME) == KEY


async def test_what_cannot_be_read_is_named_by_kind_and_left(database: str, home: Path) -> None:
    foreign = vault._keys("somebody else's key, long enough", "provider").encrypt(b"x").decode()
    with psycopg.connect(libpq(database)) as connection:
        connection.execute("UPDATE provider_keys SET key_secret = %s", [foreign])
    done = rotate(database, home)
    assert done.returncode == 0, done.stderr
    assert "No key here opens 1 of the keys of model providers" in done.stdout
    assert "sealed with the new key: 1" in done.stdout
    assert sealed(database)[credentials.PROVIDER] == foreign


def test_every_column_that_holds_a_secret_is_known() -> None:
    """By their names."""
    found = {
        (table.name, column.name)
        for table in SQLModel.metadata.tables.values()
        for column in table.columns
        if column.name.endswith(("secret", "sealed"))
    }
    assert found == {(one.table, one.column) for one in SEALED}
