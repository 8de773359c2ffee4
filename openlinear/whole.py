"""Files that are there whole or not at all, and that nobody else may read."""

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
                os.link(part, path)  # never over another file, unlike a rename
            finally:
                part.unlink()
    except FileExistsError:
        refuse_taken(path)
        raise
    except OSError as error:
        raise StartError(f"{path} was not written: {error.filename or path}: {error.strerror}.") from error
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def refuse_taken(path: Path) -> None:
    if path.exists():
        raise StartError(f"{path} is there already: name another file, or move it away.")
