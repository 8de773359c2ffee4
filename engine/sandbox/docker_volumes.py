"""What this installation's volumes and image take, and volumes of users that are no more."""

import asyncio
import contextlib
import shutil
from collections import defaultdict
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from docker.errors import APIError, ImageNotFound, NotFound

from engine.errors import RunError
from engine.sandbox import container as spec
from engine.sandbox.daemon import Daemon, refusal
from engine.settings import EngineSettings

_ROOTS: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
"""Where each engine keeps its volumes, as it said once."""


async def holdings(settings: EngineSettings, daemon: Daemon) -> dict[UUID, int]:
    """Bytes in the volumes of each user. Docker counts them, whether a container is there or not."""
    client = await daemon.client()
    try:
        usage = await daemon.call(client.df)
    except APIError as error:
        raise refusal("measure the volumes", error) from error
    sizes: defaultdict[UUID, int] = defaultdict(int)
    for volume in usage.get("Volumes") or []:
        user_id = _owner(settings, volume)
        if user_id is not None:
            sizes[user_id] += max(0, (volume.get("UsageData") or {}).get("Size", 0))
    return dict(sizes)


def _owner(settings: EngineSettings, volume: dict[str, Any]) -> UUID | None:
    """Whose volume it is; None for any that is not this installation's."""
    labels = volume.get("Labels") or {}
    if any(labels.get(key) != value for key, value in spec.labels(settings).items()):
        return None
    try:
        return UUID(labels.get("userId", ""))
    except ValueError:
        return None


async def remove_volumes(settings: EngineSettings, daemon: Daemon, user_id: UUID) -> None:
    """Remove a user's volumes, whose container is gone. Docker may hold on to one for a moment more."""
    client = await daemon.client()
    for name in spec.volumes(settings, user_id):
        for attempt in range(5):
            try:
                volume = await daemon.call(client.volumes.get, name)
                if _owner(settings, volume.attrs) != user_id:
                    raise RunError(f"The volume {name} is not this installation's.", "sandbox")
                await daemon.call(volume.remove)
            except NotFound:
                break
            except APIError as error:
                if error.status_code != 409 or attempt == 4:
                    raise refusal("remove a volume", error) from error
                await asyncio.sleep(0.2)


async def free_bytes(daemon: Daemon) -> int:
    """What is left of the disk that volumes are on."""
    client = await daemon.client()
    if client not in _ROOTS:
        _ROOTS[client] = str((await daemon.call(client.info))["DockerRootDir"])
    return (await asyncio.to_thread(shutil.disk_usage, _ROOTS[client])).free


async def image_bytes(settings: EngineSettings, daemon: Daemon) -> int:
    client = await daemon.client()
    with contextlib.suppress(ImageNotFound):
        image = await daemon.call(client.images.get, settings.opencode_image)
        return int(image.attrs["Size"])
    return 0
