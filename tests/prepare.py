"""`python -m tests.prepare`: what many tests need and takes minutes at first, before they run side by side.

Each of these is made by the tests themselves where it is missing. Made beside a browser that waits for its
first page, on two cores and one disk, it makes that page late.
"""

import asyncio

from engine.sandbox.image import ensure_image
from engine.settings import EngineSettings
from openlinear import frontend
from tests.support.github import description
from tests.support.sandbox import docker_answers


async def say(line: str) -> None:
    print(line, flush=True)


def main() -> None:
    frontend.build()
    description()
    if docker_answers():
        asyncio.run(ensure_image(EngineSettings(opencode_image="opencode-worker:latest"), say))


if __name__ == "__main__":
    main()
