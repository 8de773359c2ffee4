"""A worker process of the engine whose sandbox and agent do nothing: `python -m benchmarks.worker NAME`."""

import asyncio
import logging
import sys

from benchmarks.idle import IdleProduct, build_idle
from engine.__main__ import work

if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(work(sys.argv[1], IdleProduct(), build_idle))
