"""The keys of an installation: made at the first start, kept in files beside the database, never in it."""

import base64
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from openlinear.errors import StartError
from openlinear.whole import remember

NAMES = ("JWT_SECRET", "OPENLINEAR_SECRET_KEY")


def ensure_secrets(home: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Every key of `NAMES`: as the environment says, else from its file, else a new one.

    Raises StartError when a file is empty or may be read by others.
    """
    folder = home / "secrets"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    return {name: environ.get(name) or _kept(folder / name.lower()) for name in NAMES}


def find_secret(home: Path, environ: Mapping[str, str], name: str) -> str:
    """One key as `ensure_secrets` would find it; empty where there is none yet."""
    path = home / "secrets" / name.lower()
    return environ.get(name) or (_kept(path) if path.exists() else "")


def put_secret(home: Path, environ: Mapping[str, str], name: str, value: str) -> bool:
    """Keep a key that came from elsewhere; False where it is kept already. StartError over another one."""
    found = find_secret(home, environ, name)
    if not found:
        folder = home / "secrets"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        _create(folder / name.lower(), value.encode())
        found = find_secret(home, environ, name)
        if found == value:
            return True
    if found == value:
        return False
    where = f"{name} is set to" if environ.get(name) else f"{home / 'secrets' / name.lower()} holds"
    raise StartError(
        f"{where} another key: what was sealed with it could not be read any more. "
        "Import into an installation without one, or move that key away first."
    )


def new_secret() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


def replace_secret(home: Path, name: str, value: str) -> None:
    """Have the key's file hold another value; at any instant it holds the one or the other, whole."""
    path = home / "secrets" / name.lower()
    part = _part(path, value.encode())
    part.replace(path)
    remember(path.parent)


def _kept(path: Path) -> str:
    if not path.exists():
        _create(path, new_secret().encode())
    if path.stat().st_mode & 0o077:
        raise StartError(f"{path} may be read by others: run `chmod 600 {path}` and start again.")
    value = path.read_text().strip()
    if not value:
        raise StartError(
            f"{path} is empty: put the old key back from a backup, or remove the file for a new one."
        )
    return value


def _create(path: Path, value: bytes) -> None:
    """Whole or not at all, and never over one that another start has just made."""
    part = _part(path, value)
    try:
        os.link(part, path)
    except FileExistsError:
        pass
    finally:
        part.unlink()


def _part(path: Path, value: bytes) -> Path:
    """A file beside `path` with this content, on the disk."""
    descriptor, part = tempfile.mkstemp(dir=path.parent)  # nobody else may read it, from the start
    with os.fdopen(descriptor, "wb") as file:
        file.write(value)
        file.flush()
        os.fsync(descriptor)
    return Path(part)
