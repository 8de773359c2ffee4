"""Where a worker's parts are put together, and its durable workflows begin."""

from collections.abc import Mapping

from dbos import DBOS, DBOSConfig

import engine.accounts
import engine.batch
import engine.check
import engine.disk
import engine.run  # noqa: F401 - importing a module registers its workflows
from engine.agents.opencode import OpenCode
from engine.containers import Containers
from engine.db import Database, durable_pool
from engine.doorbell import Doorbell, hang
from engine.enqueue import Enqueuer
from engine.forge.github import GitHub
from engine.ports import Agent, Product, Sandbox
from engine.queues import APPLICATION, APPLICATION_VERSION, BATCHES, CHECKS, RUNS, SERIALIZER
from engine.sandbox.choose import choose
from engine.settings import EngineSettings
from engine.signals import Signals
from engine.world import World, set_world

MERGES_AT_ONCE = 4
"""Per worker. A merge is quick, but its checks are a project's whole suite."""


async def build(
    settings: EngineSettings,
    product: Product,
    worker: str,
    *,
    sandbox: Sandbox | None = None,
    agents: Mapping[str, Agent] | None = None,
) -> World:
    """Every adapter, wired, for the process of this id; those that are given instead of the product's own.

    Starts nothing.
    """
    database = Database(settings.database_url, pool_size=settings.worker_concurrency)
    sandbox = sandbox or await choose(settings)
    here = World(
        settings=settings,
        database=database,
        signals=Signals(database.libpq_url),
        sandbox=sandbox,
        containers=Containers(database, sandbox, settings),
        agents=agents or {"opencode": OpenCode(sandbox, settings)},
        forge=GitHub(settings),
        product=product,
        enqueuer=Enqueuer(settings),
        worker=worker,
    )
    set_world(here)
    return here


async def launch(here: World, bell: Doorbell) -> None:
    """Begin to take work from the queues, at a ring of the bell. Called on the event loop, which DBOS then
    runs the workflows on.
    """
    settings = here.settings
    config: DBOSConfig = {
        "name": APPLICATION,
        "system_database_url": settings.database_url,
        "system_database_engine": durable_pool(settings.database_url),
        "application_version": APPLICATION_VERSION,
        "executor_id": here.worker,
        "serializer": SERIALIZER,
        "run_migrations": False,
        "log_level": "WARNING",
    }
    hang(bell)
    DBOS(config=config)
    DBOS.launch()
    await DBOS.register_queue_async(
        RUNS, worker_concurrency=settings.worker_concurrency, polling_interval_sec=settings.queue_poll_seconds
    )
    for queue, at_once in ((BATCHES, MERGES_AT_ONCE), (CHECKS, 8)):
        await DBOS.register_queue_async(
            queue, worker_concurrency=at_once, polling_interval_sec=settings.queue_poll_seconds
        )
