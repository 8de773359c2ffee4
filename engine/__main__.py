"""The worker process: `python -m engine --product package.module:factory`.

SIGTERM hands over and leaves, and touches no agent: the work is durable, the next worker carries on.
SIGINT parks first (see `Containers.park`): the whole product is being stopped by its person.
"""

import argparse
import asyncio
import functools
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from importlib import import_module

from engine import egress, janitor, logs, traces
from engine.batches import radar
from engine.batches.advance import Batches
from engine.bootstrap import build, launch
from engine.doorbell import Doorbell
from engine.metrics import totals
from engine.ports import Product
from engine.process import leave_when_frozen, process_id
from engine.settings import EngineSettings
from engine.worker import Abandoned, Membership, Name
from engine.world import World

log = logging.getLogger("engine")

PARK_SECONDS = 6.0

Wire = Callable[[EngineSettings, Product, str], Awaitable[World]]
"""Puts the parts of the process of this id together, as `bootstrap.build` does."""


async def work(wanted: str, product: Product, wire: Wire = build) -> None:
    """Take work until a signal comes. Ends the process itself: see `_leave`."""
    settings = EngineSettings()
    here = await wire(settings, product, process_id())
    asked = asyncio.Queue[signal.Signals]()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.put_nowait, number)
    name = Name(here.database.libpq_url, wanted)
    claimed = await name.claim()
    logs.setup("worker", claimed)
    traces.setup(claimed)
    member = Membership(here, claimed)
    await member.join()
    leave_when_frozen(settings.worker_lease_seconds, _leave)
    bell = Doorbell()
    await launch(here, bell)
    services = [
        asyncio.create_task(serve())
        for serve in (
            *(here.signals.serve, here.containers.serve, functools.partial(janitor.serve, here)),
            *(name.serve, member.serve, Abandoned(here).serve, Batches(here).serve),
            functools.partial(radar.serve, here),
            functools.partial(egress.serve, here),
            functools.partial(bell.serve, here.signals),
        )
    ]
    services.append(asyncio.create_task(totals.serve(here.database)))
    log.info("taking work as %s, agents run in: %s", here.worker, here.sandbox.name)

    stop = asyncio.create_task(asked.get())
    done, _ = await asyncio.wait([stop, *services], return_when=asyncio.FIRST_COMPLETED)
    if stop not in done:
        for task in done:
            log.error("a service of the worker ended", exc_info=task.exception())
        _leave(1)
    if stop.result() == signal.SIGINT:
        await _park(here.containers.park)
    await member.leave()
    await totals.last(here.database)
    await traces.stop()
    _leave(0)


async def _park(park: Callable[[], Awaitable[None]]) -> None:
    try:
        async with asyncio.timeout(PARK_SECONDS):
            await park()
    except Exception as error:
        log.warning("the sandboxes could not be put to rest: %s", error)


def _leave(code: int) -> None:
    """Exit without unwinding. Unwinding would cancel the steps under way and record that as their
    result; what is checkpointed now is exactly what the next worker needs.
    """
    logging.shutdown()
    os._exit(code)


def _load(spec: str) -> Product:
    module, _, factory = spec.partition(":")
    product: Product = getattr(import_module(module), factory)()
    return product


def main() -> None:
    parser = argparse.ArgumentParser(prog="engine", description=__doc__)
    parser.add_argument(
        "--product", required=True, help="module:factory of what implements engine.ports.Product"
    )
    parser.add_argument(
        "--name", default="main", help="this worker's name; where it is taken, a number is added"
    )
    arguments = parser.parse_args()
    logs.setup("worker", arguments.name)
    asyncio.run(work(arguments.name, _load(arguments.product)))


if __name__ == "__main__":
    main()
