"""The HTTP interface, put together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, Mount

from openlinear import db, engine_client
from openlinear import metrics as counted
from openlinear.api import (
    account,
    account_admin,
    agents,
    auth,
    batches,
    document,
    events,
    github,
    health,
    identities,
    inbox,
    metrics,
    preferences,
    problems,
    projects,
    runs,
    storage,
    tasks,
    teams,
    webhooks,
    webhooks_in,
)
from openlinear.api.limits import BodyLimit
from openlinear.api.rates import RateLimit
from openlinear.deliveries import deliver
from openlinear.housekeeping import keep_house
from openlinear.newsreader import news_reader
from openlinear.resources import installed
from openlinear.settings import get_settings

OURS = ("/api/{rest:path}", "/api", "/health", "/metrics")
"""What is never a page."""
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@asynccontextmanager
async def lifespan(_: object = None) -> AsyncIterator[None]:
    """What a web process needs while it serves. For whoever runs the app this one is part of."""
    await news_reader().start()
    chores = [asyncio.create_task(chore()) for chore in (keep_house, counted.serve, deliver)]
    try:
        yield
    finally:
        for chore in chores:
            chore.cancel()
        await asyncio.wait(chores)
        await counted.hand_in()
        await news_reader().stop()
        await engine_client.close()
        await db.close()


def create_api() -> FastAPI:
    """The API alone: `/api/*`, `/health` and `/metrics`. Everything else is the pages'."""
    app = FastAPI(
        title="OpenLinear",
        version=installed(),
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    problems.install(app)
    for module in (
        auth,
        account,
        account_admin,
        identities,
        github,
        teams,
        projects,
        runs,
        tasks,
        batches,
        storage,
        preferences,
        inbox,
        agents,
        webhooks_in,
        webhooks,
        events,
        health,
        metrics,
    ):
        app.include_router(module.router)
    document.install(app)
    for path in OURS:
        app.add_api_route(path, _nothing, methods=METHODS, include_in_schema=False)
    app.add_middleware(BodyLimit)
    app.add_middleware(RateLimit)
    origin = get_settings().cors_origin
    if origin:
        # Without credentials: such a page sends a Bearer token, and never this site's cookie.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=[origin],
            allow_methods=METHODS,
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID"],
            expose_headers=["RateLimit", "RateLimit-Policy", "Retry-After"],
        )
    app.add_middleware(counted.Meter)
    return app


async def _nothing(request: Request) -> None:
    """Unknown addresses of ours answer here, not with a page. A known one takes other methods."""
    others = [route for route in request.app.routes if _known(route)]
    allowed = [
        method
        for method in METHODS
        if any(route.matches({**request.scope, "method": method})[0] == Match.FULL for route in others)
    ]
    if allowed:
        raise HTTPException(405, headers={"Allow": ", ".join(allowed)})
    raise HTTPException(404)


def _known(route: BaseRoute) -> bool:
    """Whether it is neither the pages, which take every address, nor `_nothing` itself."""
    return not isinstance(route, Mount) and getattr(route, "endpoint", None) is not _nothing
