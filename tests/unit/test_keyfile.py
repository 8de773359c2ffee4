"""The key as a file: what opens it, and what does not."""

import json
from pathlib import Path

import pytest

from openlinear.errors import StartError
from openlinear.keyfile import ask_passphrase, open_key, seal_key

PASSPHRASE = "twelve words, or as many as twelve letters"
KEY = "the key of an installation"


@pytest.fixture(scope="module")
def sealed() -> bytes:
    return seal_key(KEY, PASSPHRASE)


@pytest.fixture
def file(sealed: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_bytes(sealed)
    return path


def test_its_passphrase_opens_it(file: Path) -> None:
    assert open_key(file, PASSPHRASE) == KEY
    assert KEY.encode() not in file.read_bytes()


def test_another_passphrase_does_not(file: Path) -> None:
    with pytest.raises(StartError, match="passphrase is not the one"):
        open_key(file, PASSPHRASE + " ")


def test_one_that_was_changed_is_not_opened(file: Path) -> None:
    content = json.loads(file.read_text())
    content["sealed"] = content["sealed"][:-8] + "AAAAAAA="
    file.write_text(json.dumps(content))
    with pytest.raises(StartError, match="was changed"):
        open_key(file, PASSPHRASE)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "no json",
        '{"kind": "openlinear key 2"}',
        '{"kind": "openlinear key 1", "salt": 1, "nonce": "", "sealed": ""}',
        '{"kind": "openlinear key 1", "salt": "AAAA", "nonce": "AAAA", "sealed": "AAAA"}',
        "[" * 60_000,
    ],
)
def test_anything_else_is_no_key(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key"
    path.write_text(content)
    with pytest.raises(StartError, match="is not a key that"):
        open_key(path, PASSPHRASE)


def test_a_short_passphrase_is_refused_where_it_is_chosen(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    path.write_text("eleven char\n")
    with pytest.raises(StartError, match="12 characters or more"):
        ask_passphrase(path, twice=True)
    assert ask_passphrase(path, twice=False) == "eleven char"


def test_two_different_passphrases_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    said = iter(["one passphrase, typed", "one passphrase, mistyped"])
    monkeypatch.setattr("getpass.getpass", lambda _: next(said))
    with pytest.raises(StartError, match="differ"):
        ask_passphrase(None, twice=True)
