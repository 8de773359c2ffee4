"""What a run's checkpoints cost: the same steps as a durable workflow, and as plain calls.

The agent and the sandbox do nothing, so that as little as possible hides the cost; the fetch of the
repository is real.
"""

import time
from uuid import UUID

from dbos import DBOS, SetWorkflowID

from benchmarks.fleet import Fleet
from benchmarks.idle import NOTHING, IdleProduct, build_idle
from benchmarks.parts import database, folder
from benchmarks.table import Figures, Ratio, Series
from engine.bootstrap import launch
from engine.doorbell import Doorbell
from engine.ownership import Hold
from engine.process import process_id
from engine.run import carry, run_workflow
from engine.worker import Membership

REPEATS = 100
WARM_UP = 10


async def measure() -> Figures:
    with database() as url, folder("durability") as home:
        fleet = Fleet(url, home, {})
        here = await build_idle(fleet.settings, IdleProduct(), process_id())
        await Membership(here, "bench").join()
        await launch(here, Doorbell())  # nothing is enqueued
        durable, plain = Series("as a durable workflow", []), Series("as plain calls", [])
        try:
            for number in range(WARM_UP + REPEATS):
                for series, way in ((durable, _durable), (plain, _plain)):
                    took = await way(fleet, await fleet.add(NOTHING))
                    if number >= WARM_UP:
                        series.seconds.append(took)
        finally:
            DBOS.destroy(workflow_completion_timeout_sec=0)
            await here.database.close()
            await fleet.close()
    cost = (durable.median - plain.median) * 1000
    return Figures(
        "Durability: a run's steps with an agent that does nothing",
        [durable, plain],
        [Ratio(durable, plain)],
        [("cost of a run's checkpoints", f"{cost:.0f} ms")],
    )


async def _durable(fleet: Fleet, run_id: UUID) -> float:
    began = time.perf_counter()
    with SetWorkflowID(str(run_id)):
        handle = await DBOS.start_workflow_async(run_workflow, str(run_id))
    status = await handle.get_result()
    took = time.perf_counter() - began
    assert status == "done", status
    return took


async def _plain(fleet: Fleet, run_id: UUID) -> float:
    began = time.perf_counter()
    status = await carry(Hold(run_id, 0))
    took = time.perf_counter() - began
    assert status == "done", status
    return took
