"""What this machine itself listens on, closed to the agents' bridge.

A container reaches whatever its machine listens on at all addresses, through the bridge's own, even on a
network that leads nowhere. A rule in front of the machine's own traffic ends that: nothing new comes in
from the bridge, while answers to the engine's requests do. It takes root, as Docker's own rules did.
"""

import asyncio
import fcntl
import logging
import os
import shutil
from pathlib import Path

log = logging.getLogger(__name__)

COMMANDS = ("iptables", "ip6tables")
_told: set[str] = set()


def rule(bridge: str) -> list[str]:
    matched = ["INPUT", "-i", bridge, "-m", "conntrack", "!", "--ctstate", "ESTABLISHED,RELATED"]
    return [*matched, "-m", "comment", "--comment", "openlinear: agents", "-j", "REJECT"]


async def close_host(bridge: str, home: Path) -> None:
    """See that the rule is there. Where it cannot be, that is logged once and the doctor says so."""
    if await closed(bridge):
        return
    if (trouble := await _close(bridge, home)) and bridge not in _told:
        log.warning("agents' containers reach what this machine listens on at 0.0.0.0: %s", trouble)
        _told.add(bridge)


async def closed(bridge: str) -> bool | None:
    """Whether the rule is there; None where that cannot be told."""
    code = await _run(COMMANDS[0], "-C", *rule(bridge))
    return None if code is None else code == 0


async def _close(bridge: str, home: Path) -> str | None:
    """Why the rule is not there; None where it is now. Under a lock: two workers would put it there twice."""
    if os.geteuid() != 0:
        return "it takes root to close it"
    with (home / "docker-network.lock").open("w") as lock:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        for command in reversed(COMMANDS):  # the one that is looked for comes last
            if await _run(command, "-C", *rule(bridge)) == 0:
                continue
            if await _run(command, "-I", *rule(bridge)) != 0 and command == COMMANDS[0]:
                return "iptables is not there, or refused the rule"
    return None


async def _run(command: str, *arguments: str) -> int | None:
    """Its exit code; None where it cannot be run here."""
    path = shutil.which(command, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is None or os.geteuid() != 0:
        return None
    process = await asyncio.create_subprocess_exec(
        path,
        "-w",
        "5",
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await process.wait()
