"""What is in a container takes of the disk, counted from beside it.

The counter has a container of its own: it sees the same volumes, read-only, and the other's processes, and is
root with two rights. So no mode hides a file from it, nor does a name that is gone, and who is counted can
neither stop it nor speak for it.
"""

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from docker.errors import APIError

from engine.errors import RunError
from engine.sandbox import container as spec
from engine.sandbox import image
from engine.sandbox.census import SECONDS
from engine.sandbox.daemon import Daemon
from engine.settings import EngineSettings

_PROGRAM = Path(__file__).with_name("census.py").read_text()
_RIGHTS = ["DAC_READ_SEARCH", "SYS_PTRACE"]
"""To read every folder, and to see what processes hold open."""


async def taken(settings: EngineSettings, daemon: Daemon, user_id: UUID, container: str) -> int:
    """Bytes. RunError where not all could be counted in time, which may be what is in there's doing."""
    client = await daemon.client()
    wanted = _spec(settings, user_id, container, await image.current_id(settings, daemon))
    creating = asyncio.ensure_future(daemon.once(client.containers.create, **wanted))
    try:
        made: Any = await asyncio.shield(creating)
        await daemon.once(made.start)
        ended = await daemon.once(made.wait, timeout=3 * SECONDS)
        said = await daemon.once(made.logs, stderr=False)
    except APIError as error:
        raise _uncounted() from error
    finally:  # before anybody removes a volume that it has
        with contextlib.suppress(APIError, RunError):
            await daemon.remove(await creating)
    if ended["StatusCode"] != 0 or not said.strip().isdigit():
        raise _uncounted()
    return int(said)


def _uncounted() -> RunError:
    return RunError("What is in your container could not be counted.", "sandbox")


def _spec(settings: EngineSettings, user_id: UUID, container: str, image_id: str) -> dict[str, Any]:
    """Arguments of `containers.create`. Labelled as a trial, so that one that is left over goes likewise."""
    name = uuid4()
    return {
        "image": image_id,
        "name": f"opencode-census-{name}",
        "user": "0:0",
        "entrypoint": ["python3", "-I", "-c", _PROGRAM, str(spec.HOME), str(spec.HOME / "objects")],
        "pid_mode": f"container:{container}",
        "volumes_from": [f"{container}:ro"],
        "network_mode": "none",
        "cap_drop": ["ALL"],
        "cap_add": _RIGHTS,
        "security_opt": ["no-new-privileges"],
        "read_only": True,
        "healthcheck": {"test": ["NONE"]},
        "mem_limit": "256m",
        "memswap_limit": "256m",
        "pids_limit": 64,
        "labels": {
            **spec.trial_labels(settings),
            "userId": str(user_id),
            "trialId": str(name),
            "until": f"{time.time() + 4 * SECONDS:.0f}",
        },
    }
