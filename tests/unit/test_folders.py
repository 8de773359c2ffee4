"""Names and sizes of what lies in a folder, whatever an agent put there."""

import os
from pathlib import Path
from uuid import uuid4

import pytest

from engine.folders import bytes_in, ids_in
from openlinear.services.storage import size


def test_only_names_that_are_an_id_count(tmp_path: Path) -> None:
    one, other = sorted((uuid4(), uuid4()))
    for name in (f"{one}.git", f"{other}.git", f"{one}.runs.git", "x.git", f".{one}.new", str(other)):
        (tmp_path / name).touch()
    assert ids_in(tmp_path, ".git") == [one, other]
    assert ids_in(tmp_path, ".new", ".") == [one]
    assert ids_in(tmp_path) == [other]
    assert ids_in(tmp_path / "nowhere") == []


def test_links_are_not_followed_and_second_names_count_once(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / "large").write_bytes(bytes(1 << 20))
    (inside / "out").symlink_to(outside)
    os.link(inside / "large", inside / "again")
    assert 1 << 20 <= bytes_in(inside) < 2 << 20
    counted: set[tuple[int, int]] = set()
    assert bytes_in(inside, counted) >= 1 << 20
    assert bytes_in(inside / "again", counted) == 0
    assert bytes_in(tmp_path / "nowhere") == 0


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (12_345, "12 kB"),
        (999_600, "1.0 MB"),
        (3 * 10**12, "3.0 TB"),
    ],
)
def test_sizes_are_short(number: int, shown: str) -> None:
    assert size(number) == shown
