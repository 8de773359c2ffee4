"""As whom PostgreSQL runs, and what that user may reach.

PostgreSQL refuses to run as root. Started by root it runs as a system account of its own: (uid, gid)
here, and None wherever it runs as whoever started it.
"""

import os
import pwd
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

from openlinear.errors import StartError

ACCOUNT = "openlinear"
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
"""All that PostgreSQL's programs are given: nothing of ours, no keys."""


def account() -> tuple[int, int]:
    """uid and gid of the system account that root's server runs as, made when it is not there."""
    entry = _entry() or _made()
    if entry is None or entry.pw_uid == 0:
        raise StartError(
            f"PostgreSQL does not run as root, and the system account '{ACCOUNT}' for it could not be made: "
            "start OpenLinear as an ordinary user, or set DATABASE_URL."
        )
    return entry.pw_uid, entry.pw_gid


def _entry() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(ACCOUNT)
    except KeyError:
        return None


def _made() -> pwd.struct_passwd | None:
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin"]
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}  # root's own PATH may lack what is for root
    with suppress(OSError):
        subprocess.run([*command, ACCOUNT], env=env, capture_output=True, check=False)
    return _entry()


def private_folder(folder: Path, user: tuple[int, int] | None) -> None:
    """A folder that its owner alone may enter. One that somebody else laid there is refused."""
    uid, gid = user or (os.geteuid(), os.getegid())
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (uid, os.geteuid()):
        raise StartError(f"{folder} belongs to somebody else: remove it and start again.")
    os.chown(folder, uid, gid)
    folder.chmod(0o700)


def write(path: Path, text: str, user: tuple[int, int] | None) -> None:
    path.write_text(text)
    path.chmod(0o600)
    if user:
        os.chown(path, *user)


def run(*argv: str | Path, user: tuple[int, int] | None) -> "subprocess.CompletedProcess[bytes]":
    uid, gid = user or (None, None)
    return subprocess.run(
        argv,
        user=uid,
        group=gid,
        extra_groups=None if user is None else [],
        cwd="/",
        env=ENVIRONMENT,
        capture_output=True,
        check=False,
    )


def may_run(*argv: str | Path, user: tuple[int, int]) -> bool:
    try:
        return run(*argv, user=user).returncode == 0
    except OSError:
        return False
