"""The API beside the pages: each answers for its own addresses, under its own rules."""

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from openlinear.openlinear import beside
from tests.support.product import PUBLIC_URL, Workerless

OTHER = "http://localhost:3000"


async def page(request: Request) -> Response:
    return PlainTextResponse(f"a page at {request.url.path}")


@pytest.fixture
async def site(product: Workerless) -> AsyncIterator[httpx.AsyncClient]:
    cors = Middleware(CORSMiddleware, allow_origins=[PUBLIC_URL], allow_credentials=True)
    pages = Starlette(routes=[Route("/{rest:path}", page)], middleware=[cors])
    transport = httpx.ASGITransport(beside(pages))
    async with httpx.AsyncClient(transport=transport, base_url=PUBLIC_URL) as client:
        yield client


async def test_pages_with_open_credentials_do_not_open_the_api(site: httpx.AsyncClient) -> None:
    for path in ("/", "/projects/x", "/apis", "/healthy"):
        assert (await site.get(path)).text == f"a page at {path}"
    assert (await site.get("/health")).json()["database"] == "ok"
    assert (await site.head("/health")).status_code == 503  # no worker runs here
    asked = {"Origin": OTHER, "Access-Control-Request-Method": "GET"}
    preflight = await site.options("/api/tasks", headers=asked)
    assert preflight.status_code == 200
    answer = await site.get("/api/tasks", headers={"Origin": OTHER})
    for headers in (preflight.headers, answer.headers):
        assert headers["access-control-allow-origin"] == OTHER
        assert "access-control-allow-credentials" not in headers


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/api/nothing", 404, None),
        ("POST", "/api/nothing", 404, None),
        ("GET", "/api", 404, None),
        ("POST", "/api", 404, None),
        ("PUT", "/api/tasks", 405, "GET, POST"),
        ("POST", "/health", 405, "GET, HEAD"),
        ("POST", "/metrics", 405, "GET"),
        ("HEAD", "/metrics", 405, "GET"),
    ],
)
async def test_what_is_ours_is_never_answered_by_a_page(
    site: httpx.AsyncClient, method: str, path: str, status: int, allow: str | None
) -> None:
    answer = await site.request(method, path)
    assert (answer.status_code, answer.headers.get("allow")) == (status, allow)
    assert answer.headers["content-type"] == "application/problem+json"
