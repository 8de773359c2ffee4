"""Kill processes by what they carry: a marker in their environment, or a folder they work in.

Agents leave orphans in process groups of their own, so a pid or a group is not enough. This file is both a
module and a script without dependencies: the Docker sandbox feeds it to a Python inside the container.
"""

import os
import signal
import sys
import time


def _carries(pid: int, marker: bytes, folder: str) -> bool:
    """Whether a process has `marker` in its environment or works at or below `folder` ("" for none)."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ:  # noqa: PTH123
            if marker in environ.read():
                return True
        cwd = os.readlink(f"/proc/{pid}/cwd")  # noqa: PTH115
    except OSError:  # gone, a zombie, or another user's
        return False
    return bool(folder) and f"{cwd.removesuffix(' (deleted)')}/".startswith(f"{folder}/")


def carriers(marker: bytes, folder: str = "") -> list[int]:
    """Every such process but the first and this one. `marker` must not be empty: all carry that."""
    if not marker:
        raise ValueError("an empty marker names every process")
    pids = {int(name) for name in os.listdir("/proc") if name.isdigit()} - {1, os.getpid()}  # noqa: PTH208
    return [pid for pid in pids if _carries(pid, marker, folder)]


def reap(marker: bytes, folder: str = "") -> int:
    """Kill them, again until none is left: one may fork while another dies. How many there were."""
    killed: set[int] = set()
    for _ in range(40):
        found = carriers(marker, folder)
        if not found:
            break
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue
        killed.update(found)
        time.sleep(0.025)
    return len(killed)


if __name__ == "__main__":
    print(reap(sys.argv[1].encode(), sys.argv[2]))
