"""How a credential reaches git: for one call, for one origin, and through no place that others read."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from engine.errors import RunError
from engine.git.remote import Remote
from engine.ports import Credential

_HELPER = Path(__file__).with_name("credential.sh")


@dataclass(frozen=True, slots=True)
class Lent:
    """What a git process is given so that it can ask for the credential."""

    config: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    descriptors: tuple[int, ...] = ()


@contextmanager
def lend(remote: Remote, credential: Credential | None) -> Iterator[Lent]:
    """Lend a credential to one git call; when the block ends it exists nowhere but with its owner."""
    if credential is None or remote.scheme == "demo":
        yield Lent()
        return
    if any(character in credential.username + credential.password for character in "\n\r\0"):
        raise RunError(
            "The stored credential holds a line break, so no server can take it. Enter it again.",
            "authentication",
        )
    with _nameless_file() as file:
        file.write(f"username={credential.username}\npassword={credential.password}\n".encode())
        file.flush()
        file.seek(0)
        yield Lent(
            # The shell expands the variable, so that no folder's name needs quoting.
            config=("-c", 'credential.helper=!sh "$OPENLINEAR_CREDENTIAL_HELPER"'),
            environment={
                "OPENLINEAR_CREDENTIAL_HELPER": str(_HELPER),
                "OPENLINEAR_CREDENTIAL_FOR": remote.origin,
                "OPENLINEAR_CREDENTIAL_FD": str(file.fileno()),
            },
            descriptors=(file.fileno(),),
        )


def _nameless_file() -> BinaryIO:
    """A file without a name: a crash leaves nothing behind. In memory where the system can."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("credential"), "w+b")
    return cast(BinaryIO, tempfile.TemporaryFile())
