"""What this machine itself listens on, closed to the agents' bridge.

A container reaches whatever its machine listens on at all addresses, through the bridge's own, even on a
network that leads nowhere. A rule in front of the machine's own traffic ends that: nothing new comes in
from the bridge, while answers to the engine's requests do. It takes root, as Docker's own rules did.
"""

import asyncio
import logging
import os
import shutil

log = logging.getLogger(__name__)

COMMANDS = ("iptables", "ip6tables")
_told: set[str] = set()


def rule(bridge: str) -> list[str]:
    matched = ["INPUT", "-i", bridge, "-m", "conntrack", "!", "--ctstate", "ESTABLISHED,RELATED"]
    return [*matched, "-m", "comment", "--comment", "openlinear: agents", "-j", "REJECT"]


async def close_host(bridge: str) -> None:
    """See that the rule is there. Where it cannot be, that is logged once and the doctor says so."""
    if (trouble := await _closed(bridge)) and bridge not in _told:
        log.warning("agents' containers reach what this machine listens on at 0.0.0.0: %s", trouble)
        _told.add(bridge)


async def closed(bridge: str) -> bool | None:
    """Whether the rule is there; None where that cannot be told."""
    code = await _run(COMMANDS[0], "-C", *rule(bridge))
    return None if code is None else code == 0


async def _closed(bridge: str) -> str | None:
    """Why the rule is not there; None where it is."""
    for command in COMMANDS:
        if await _run(command, "-C", *rule(bridge)) == 0:
            continue
        code = await _run(command, "-I", *rule(bridge))
        if code != 0 and command == COMMANDS[0]:
            return "it takes root" if os.geteuid() != 0 else f"{command} refused the rule"
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
