"""Files that are there whole or not at all, and that nobody else may read."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from openlinear.errors import StartError


@contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to, which gets its name when the block ends well. StartError when the name is taken."""
    refuse_taken(path)
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            part = Path(file.name)  # mode 0600, from the start
            try:
                yield file.file
                file.flush()
                os.fsync(file.fileno())
                _name(part, path)
            finally:
                part.unlink(missing_ok=True)
        remember(path.parent)
    except OSError as error:
        raise StartError(f"{path} was not written: {error.filename or path}: {error.strerror}.") from error


def refuse_taken(path: Path) -> None:
    if path.exists():
        raise StartError(f"{path} is there already: name another file, or move it away.")


def _name(part: Path, path: Path) -> None:
    """By a link, which unlike a rename never replaces a file; some disks have none."""
    try:
        path.hardlink_to(part)
    except OSError as error:
        refuse_taken(path)
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP):
            raise
        part.rename(path)


def remember(folder: Path) -> None:
    """Have the name itself survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
