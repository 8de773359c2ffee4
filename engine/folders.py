"""What lies in a folder of ours. No link is followed: what is in there may be an agent's doing."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID


def ids_in(folder: Path, suffix: str = "", prefix: str = "") -> list[UUID]:
    """The ids that entries of this folder are named by; none where there is no such folder."""
    found = []
    for name in names_in(folder):
        middle = name.removeprefix(prefix).removesuffix(suffix)
        if name == f"{prefix}{middle}{suffix}":
            with suppress(ValueError):
                found.append(UUID(middle))
    return sorted(set(found))


def names_in(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - names are what is wanted
    except OSError:
        return []


def bytes_in(path: Path, counted: set[tuple[int, int]] | None = None) -> int:
    """What a file or folder takes on the disk, in bytes. A file of several names counts once.

    `counted` holds what was counted elsewhere and is added to. What goes away meanwhile counts nothing.
    """
    counted = set() if counted is None else counted
    total = 0
    for found in _stats(path):
        if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
            if (found.st_dev, found.st_ino) in counted:
                continue
            counted.add((found.st_dev, found.st_ino))
        total += found.st_blocks * 512
    return total


def _stats(path: Path) -> Iterator[os.stat_result]:
    waiting = [str(path)]
    while waiting:
        one = waiting.pop()
        try:
            found = os.lstat(one)
            if stat.S_ISDIR(found.st_mode):
                with os.scandir(one) as entries:
                    waiting += [entry.path for entry in entries]
        except OSError:
            continue
        yield found
