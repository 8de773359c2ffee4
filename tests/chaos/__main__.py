"""`make chaos`: faults drawn from a seed, for as long as wanted. Prints tables, or what was wrong."""

import argparse
import asyncio
import logging
import os
import random
import sys
import time
from random import Random

from tests.chaos.batchcampaign import batch_campaign, drawn_batch_fault
from tests.chaos.batches import Batches
from tests.chaos.campaign import campaign
from tests.chaos.crowd import serve_crowd
from tests.chaos.faults import MILD, ROUGH, drawn_fault
from tests.chaos.instance import serve_instance
from tests.chaos.ledger import table
from tests.chaos.network import SIGN, isolated
from tests.chaos.secondturn import second_turn

FAULTS = 25
"""Between two looks at every end."""


async def chaos(seed: int, seconds: float, workers: int, parts: list[str]) -> None:
    """Runs and batches in turn; AssertionError at the first end that is not right."""
    draw = Random(seed)
    async with serve_instance(workers, keep_logs=True) as instance:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            async with serve_crowd(instance) as crowd:
                faults = [drawn_fault(draw, draw.choice(parts)) for _ in range(FAULTS)]
                print(table(await campaign(instance, crowd, faults, draw)), flush=True)
            async with serve_crowd(instance) as crowd:
                faults = [drawn_batch_fault(draw, draw.choice(parts)) for _ in range(FAULTS)]
                results = await batch_campaign(instance, Batches(instance, crowd), faults, draw)
                print(table(results, "batches"), flush=True)
            await second_turn(instance)


def main() -> None:
    if SIGN not in os.environ:
        argv = isolated([sys.executable, "-m", "tests.chaos", *sys.argv[1:]])
        os.execvp(argv[0], argv)
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--parts", nargs="+", default=[*MILD, *ROUGH], choices=[*MILD, *ROUGH])
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    print(f"seed {given.seed}", flush=True)
    asyncio.run(chaos(given.seed, given.minutes * 60, given.workers, given.parts))


if __name__ == "__main__":
    main()
