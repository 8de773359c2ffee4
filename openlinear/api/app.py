"""The HTTP interface, put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from starlette.exceptions import HTTPException
from starlette.routing import Match

from openlinear import db, engine_client
from openlinear.api import auth, events, health, preferences, problems, projects, runs, tasks
from openlinear.api.limits import BodyLimit
from openlinear.newsreader import news_reader
from openlinear.settings import get_settings

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@asynccontextmanager
async def lifespan(_: object = None) -> AsyncIterator[None]:
    """What a web process needs while it serves. For whoever runs the app this one is part of."""
    await news_reader().start()
    try:
        yield
    finally:
        await news_reader().stop()
        await engine_client.close()
        await db.close()


def create_api() -> FastAPI:
    """The API alone: `/api/*` and `/health`. Everything else is the pages'."""
    app = FastAPI(
        title="OpenLinear",
        version=health.installed(),
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    problems.install(app)
    for module in (auth, projects, runs, tasks, preferences, events, health):
        app.include_router(module.router)
    app.add_api_route("/api/{rest:path}", _nothing, methods=METHODS, include_in_schema=False)
    app.add_middleware(BodyLimit)
    origin = get_settings().cors_origin
    if origin:
        # Without credentials: such a page sends a Bearer token, and never this site's cookie.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=[origin],
            allow_methods=METHODS,
            allow_headers=["Authorization", "Content-Type", "Last-Event-ID"],
            expose_headers=["Retry-After"],
        )
    return app


async def _nothing(request: Request) -> None:
    """Unknown addresses under /api answer here, not with a page. A known one has another method."""
    for route in request.app.routes:
        match, _ = route.matches(request.scope)
        if match == Match.PARTIAL:
            raise HTTPException(405)
    raise HTTPException(404)
