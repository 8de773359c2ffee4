"""What folders take of the disk, counted so that what fills them cannot hide.

Both a module and a script without dependencies: the Docker sandbox runs it in a container of its own.

    python3 -I -c THIS FOLDER WITHOUT
"""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Sequence

SECONDS = 60
_VANISHED = b": No such file or directory"
_PLAIN = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}


class Uncounted(Exception):
    """Something in there could not be read, or reading it took too long."""


def files(folders: Sequence[str], without: str) -> int:
    """Bytes of all that lies in these folders, save `without`. What goes meanwhile counts nothing."""
    command = ["du", "-skc", f"--exclude={without}", "--", *folders]
    try:
        done = subprocess.run(command, capture_output=True, env=_PLAIN, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise Uncounted("it took too long") from None
    if done.returncode != 0 and not all(line.endswith(_VANISHED) for line in done.stderr.splitlines()):
        raise Uncounted("not all could be read")
    try:
        return int(done.stdout.splitlines()[-1].split()[0]) << 10
    except (IndexError, ValueError):
        raise Uncounted("nothing was counted") from None


def held(device: int) -> int:
    """Bytes on this device of files that have no name any more and that a process holds open."""
    found: dict[int, int] = {}
    for pid in _listed("/proc"):
        for thread in _listed(f"/proc/{pid}/task") if pid.isdigit() else ():
            folder = f"/proc/{pid}/task/{thread}/fd"
            for number in _listed(folder):
                try:
                    one = os.stat(f"{folder}/{number}")  # noqa: PTH116
                except OSError:
                    continue
                if one.st_dev == device and one.st_nlink == 0 and stat.S_ISREG(one.st_mode):
                    found[one.st_ino] = one.st_blocks * 512
    return sum(found.values())


def _listed(folder: str) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208
    except OSError:  # gone meanwhile
        return []


if __name__ == "__main__":
    taken = files(sys.argv[1:2], sys.argv[2])
    signal.alarm(SECONDS)
    print(taken + held(os.stat(sys.argv[1]).st_dev))  # noqa: PTH116
