"""The parts a worker is made of, wired in one place (`engine.__main__`) and reached from workflows.

Durable workflows are module-level functions that start anew in any process, so they cannot be
handed their collaborators: they take them from here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from engine.containers import Containers
from engine.db import Database
from engine.enqueue import Enqueuer
from engine.ports import Agent, Forge, Product, Sandbox
from engine.settings import EngineSettings
from engine.signals import Signals


@dataclass(frozen=True, slots=True)
class World:
    settings: EngineSettings
    database: Database
    signals: Signals
    sandbox: Sandbox
    containers: Containers
    agents: Mapping[str, Agent]
    forge: Forge
    product: Product
    enqueuer: Enqueuer
    worker: str
    """This process, as `workers` and DBOS's queue know it."""


_world: World | None = None


def set_world(world: World | None) -> None:
    global _world  # noqa: PLW0603 - the one wiring place of a process
    _world = world


def world() -> World:
    if _world is None:
        raise RuntimeError("the engine is not wired: start it with `python -m engine`")
    return _world
