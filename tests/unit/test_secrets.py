"""The keys of an installation."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from openlinear.errors import StartError
from openlinear.secrets import ensure_secrets
from openlinear.settings import weak


def test_keys_are_made_once_strong_and_private(tmp_path: Path) -> None:
    first = ensure_secrets(tmp_path, {})
    assert ensure_secrets(tmp_path, {}) == first
    assert len(set(first.values())) == 2
    assert not any(weak(value) for value in first.values())
    folder = tmp_path / "secrets"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}


def test_the_environment_goes_first_and_is_not_written_down(tmp_path: Path) -> None:
    assert ensure_secrets(tmp_path, {"JWT_SECRET": "given"})["JWT_SECRET"] == "given"
    assert [file.name for file in (tmp_path / "secrets").iterdir()] == ["openlinear_secret_key"]


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    ensure_secrets(tmp_path, {})
    (tmp_path / "secrets" / "jwt_secret").chmod(0o644)
    with pytest.raises(StartError, match="chmod 600"):
        ensure_secrets(tmp_path, {})


def test_an_emptied_key_is_not_silently_replaced(tmp_path: Path) -> None:
    ensure_secrets(tmp_path, {})
    (tmp_path / "secrets" / "openlinear_secret_key").write_text("")
    with pytest.raises(StartError, match="backup"):
        ensure_secrets(tmp_path, {})


def test_starts_at_once_agree_on_the_keys(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: tuple(ensure_secrets(tmp_path, {}).values()), range(8)))
    assert len(set(made)) == 1
