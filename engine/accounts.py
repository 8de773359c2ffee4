"""A person's connection to model providers, asked of their own agent server while they wait.

DBOS keeps arguments and answers of these workflows, so they hold no secret: what a sign-in begins with and
its code come from the product, and the account that it opens goes back there.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict
from uuid import UUID, uuid4

from dbos import DBOS

from engine import egress
from engine.agents import opencode_auth
from engine.agents.opencode_api import Server
from engine.errors import RunError
from engine.models import Run
from engine.ports import Box, ModelRef, ProviderKey
from engine.world import World, world

log = logging.getLogger(__name__)

KEEP_SECONDS = 60.0
"""How often a run's renewed tokens are brought to safety."""


class Told(TypedDict):
    """`error` is a reason for a person, with the cure; None when it went well."""

    error: str | None


class Began(Told):
    url: str
    method: str
    instructions: str
    way: int


@DBOS.workflow(name="try_provider")
async def try_provider(user_id: str, provider: str, model: str) -> Told:
    return await try_step(user_id, provider, model)


@DBOS.step(name="try")
async def try_step(user_id: str, provider: str, model: str) -> Told:
    here = world()
    try:
        keys = list(await here.product.provider_keys(UUID(user_id)))
        await egress.allow(here, UUID(user_id))
        async with here.containers.visit(UUID(user_id)) as box:
            # A folder that OpenCode does not know: it reads its settings once for each.
            agent, directory = here.agents["opencode"], box.repos / f"try-{uuid4()}"
            await here.sandbox.exec(box, ["mkdir", str(directory)])
            await agent.prepare(box, directory, keys, demo=False)
            try:
                await opencode_auth.try_model(box, directory, ModelRef(provider, model))
            finally:
                await agent.close(box, directory)
                await here.sandbox.exec(box, ["rm", "-rf", str(directory)])
                await keep_accounts(here, UUID(user_id), box, keys)
    except RunError as error:
        return Told(error=error.reason)
    return Told(error=None)


@DBOS.workflow(name="begin_sign_in")
async def begin_sign_in(user_id: str, provider: str, method: str) -> Began:
    return await begin_step(user_id, provider, method)


@DBOS.step(name="begin")
async def begin_step(user_id: str, provider: str, method: str) -> Began:
    """`method` is a number, or "" for the first that works from here."""
    here = world()
    try:
        inputs = await here.product.sign_in_inputs(UUID(user_id), provider)
        await egress.allow(here, UUID(user_id))  # the provider that is signed in to is among it
        async with here.containers.visit(UUID(user_id)) as box, _server(here, box) as server:
            found = await opencode_auth.begin(server, provider, int(method) if method else None, inputs)
    except RunError as error:
        return Began(url="", method="", instructions="", way=0, error=error.reason)
    return Began(
        url=found.url, method=found.method, instructions=found.instructions, way=found.way, error=None
    )


@DBOS.workflow(name="end_sign_in")
async def end_sign_in(user_id: str, provider: str, method: str) -> Told:
    return await end_step(user_id, provider, method)


@DBOS.step(name="end")
async def end_step(user_id: str, provider: str, method: str) -> Told:
    """Hand the code in, and have the product keep the account that it opened."""
    here = world()
    try:
        code = await here.product.sign_in_code(UUID(user_id), provider)
        await egress.allow(here, UUID(user_id))  # it may have been told before this sign-in began
        async with here.containers.visit(UUID(user_id)) as box, _server(here, box) as server:
            await opencode_auth.end(server, provider, int(method), code)
            entry = (await opencode_auth.accounts(here.sandbox, box)).get(provider)
        if entry is None:
            raise RunError("The sign-in left no account behind. Sign in again.", "authentication")
        await here.product.keep_account(UUID(user_id), provider, entry, new=True)
    except RunError as error:
        return Told(error=error.reason)
    return Told(error=None)


@asynccontextmanager
async def keeping_accounts(here: World, run: Run, box: Box, keys: list[ProviderKey]) -> AsyncIterator[None]:
    """While the block lasts and at its end, what OpenCode renews reaches the product."""

    async def now_and_then() -> None:
        while True:
            await asyncio.sleep(KEEP_SECONDS)
            await keep_accounts(here, run.user_id, box, keys)

    keeper = asyncio.create_task(now_and_then())
    try:
        yield
    finally:
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
        await keep_accounts(here, run.user_id, box, keys)


async def keep_accounts(here: World, user_id: UUID, box: Box, keys: list[ProviderKey]) -> None:
    """Read renewed tokens back. A help alone: the next one that uses the sandbox finds them there, too."""
    theirs = {key.provider for key in keys if key.account is not None}
    if not theirs:
        return
    try:
        for provider, entry in (await opencode_auth.accounts(here.sandbox, box)).items():
            if provider in theirs:
                await here.product.keep_account(user_id, provider, entry, new=False)
    except Exception as error:  # no run fails for that
        log.warning("renewed tokens could not be kept: %s", type(error).__name__)


@asynccontextmanager
async def _server(here: World, box: Box) -> AsyncIterator[Server]:
    """OpenCode in a folder that is always the same: it remembers there who has begun to sign in."""
    directory = box.repos / "sign-in"
    await here.sandbox.exec(box, ["mkdir", "-p", str(directory)])
    async with Server(box, directory) as server:
        yield server
