"""`python -m engine.sandbox`: choose where agents run here and make what that needs.

Prints a line for each thing it does; the last one says where agents run, or why they cannot and the
cure (exit code 1). Run once by the start-up, beside the workers, since the image takes minutes.
"""

import asyncio
import sys

from engine.errors import RunError
from engine.sandbox.choose import choose
from engine.sandbox.image import ensure_image
from engine.sandbox.opencode import ensure_opencode
from engine.settings import EngineSettings


async def prepare() -> int:
    """0 when agents can run now."""
    settings = EngineSettings()
    try:
        sandbox = await choose(settings)
        trouble = None
        if sandbox.name == "docker":
            trouble = await ensure_image(settings, _print)
        else:
            await ensure_opencode(settings, _print)
        trouble = trouble or await sandbox.check()
    except RunError as error:
        trouble = error.reason
    await _print(trouble or f"ready, agents run in: {sandbox.name}")
    return 1 if trouble else 0


async def _print(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(asyncio.run(prepare()))
