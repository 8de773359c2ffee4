"""`make bench`, or `python -m benchmarks [name ...]`: every figure that the README quotes."""

import asyncio
import sys
from importlib import import_module

from benchmarks.table import show

NAMES = (
    "workspace",
    "dispatch",
    "news",
    "start",
    "cancel",
    "takeover",
    "durability",
    "queue",
    "merge",
    "batch",
    "api",
)


def main() -> None:
    names = sys.argv[1:] or NAMES
    unknown = set(names) - set(NAMES)
    if unknown:
        sys.exit(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    for name in names:
        show(asyncio.run(import_module(f"benchmarks.{name}").measure()))


if __name__ == "__main__":
    main()
