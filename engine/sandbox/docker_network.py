"""The workers' own bridge, on which containers do not reach each other."""

import asyncio
import fcntl

from engine.sandbox import container as spec
from engine.sandbox.daemon import Daemon
from engine.settings import EngineSettings


async def workers_network(settings: EngineSettings, daemon: Daemon) -> str:
    """The id of this installation's network, made where it is not there.

    A caller that is cancelled does not stop the making: its lock would go before the engine is done.
    """
    existing = await _existing(settings, daemon)
    return existing if existing is not None else await asyncio.shield(_made(settings, daemon))


async def _existing(settings: EngineSettings, daemon: Daemon) -> str | None:
    client = await daemon.client()
    labels = [f"{key}={value}" for key, value in spec.labels(settings).items()]
    networks = await daemon.call(client.networks.list, filters={"label": labels})
    return str(networks[0].id) if networks else None


async def _made(settings: EngineSettings, daemon: Daemon) -> str:
    """Under a lock of this machine: the engine lets two processes make two networks of one name, whatever it
    is asked to check, and then starts no container on either.
    """
    settings.openlinear_home.mkdir(parents=True, exist_ok=True)
    with (settings.openlinear_home / "docker-network.lock").open("w") as lock:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        if existing := await _existing(settings, daemon):
            return existing
        client = await daemon.client()
        made = await daemon.call(
            client.networks.create,
            spec.network_name(settings),
            driver="bridge",
            options={"com.docker.network.bridge.enable_icc": "false"},
            labels=spec.labels(settings),
        )
        return str(made.id)
