"""The workers' networks. On neither do containers reach each other.

The inner one leads nowhere: the machine reaches agents on it, and nothing is reached from it. The outer one
is an ordinary bridge, for the proxy; and for the workers where there is none (EGRESS=off).
"""

import asyncio
import fcntl
from typing import Any

from engine.sandbox import container as spec
from engine.sandbox.daemon import Daemon
from engine.sandbox.wall import close_host
from engine.settings import EngineSettings

_APART = {"com.docker.network.bridge.enable_icc": "false"}


async def workers_network(settings: EngineSettings, daemon: Daemon) -> str:
    """The id of the network that agents' containers are on."""
    if settings.egress == "off":
        return await outer_network(settings, daemon)
    network_id = await inner_network(settings, daemon)
    await close_host(spec.bridge_name(settings), settings.openlinear_home)
    return network_id


async def outer_network(settings: EngineSettings, daemon: Daemon) -> str:
    return await _network(
        settings, daemon, spec.labels(settings), spec.network_name(settings), options=_APART
    )


async def inner_network(settings: EngineSettings, daemon: Daemon) -> str:
    return await _network(
        settings,
        daemon,
        spec.inner_labels(settings),
        spec.inner_name(settings),
        internal=True,
        options={**_APART, "com.docker.network.bridge.name": spec.bridge_name(settings)},
    )


async def _network(
    settings: EngineSettings, daemon: Daemon, labels: dict[str, str], name: str, **wanted: Any
) -> str:
    """The id of this installation's network, made where it is not there.

    A caller that is cancelled does not stop the making: its lock would go before the engine is done.
    """
    existing = await _existing(daemon, labels)
    if existing is not None:
        return existing
    return await asyncio.shield(_made(settings, daemon, labels, name, wanted))


async def _existing(daemon: Daemon, labels: dict[str, str]) -> str | None:
    client = await daemon.client()
    wanted = [f"{key}={value}" for key, value in labels.items()]
    networks = await daemon.call(client.networks.list, filters={"label": wanted})
    return str(networks[0].id) if networks else None


async def _made(
    settings: EngineSettings, daemon: Daemon, labels: dict[str, str], name: str, wanted: dict[str, Any]
) -> str:
    """Under a lock of this machine: the engine lets two processes make two networks of one name, whatever it
    is asked to check, and then starts no container on either.
    """
    settings.openlinear_home.mkdir(parents=True, exist_ok=True)
    with (settings.openlinear_home / "docker-network.lock").open("w") as lock:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        if existing := await _existing(daemon, labels):
            return existing
        client = await daemon.client()
        made = await daemon.call(client.networks.create, name, driver="bridge", labels=labels, **wanted)
        return str(made.id)
