"""The API beside the pages: each answers for its own addresses, under its own rules."""

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from openlinear.api.app import beside
from tests.support.product import PUBLIC_URL

OTHER = "http://localhost:3000"


async def page(request: Request) -> Response:
    return PlainTextResponse(f"a page at {request.url.path}")


@pytest.mark.usefixtures("product")
async def test_pages_with_open_credentials_do_not_open_the_api() -> None:
    cors = Middleware(CORSMiddleware, allow_origins=[PUBLIC_URL], allow_credentials=True)
    pages = Starlette(routes=[Route("/{rest:path}", page)], middleware=[cors])
    transport = httpx.ASGITransport(beside(pages))
    async with httpx.AsyncClient(transport=transport, base_url=PUBLIC_URL) as client:
        for path in ("/", "/projects/x", "/apis", "/healthy"):
            assert (await client.get(path)).text == f"a page at {path}"
        assert (await client.get("/health")).json()["database"] == "ok"
        assert (await client.get("/api/nothing")).status_code == 404
        asked = {"Origin": OTHER, "Access-Control-Request-Method": "GET"}
        preflight = await client.options("/api/tasks", headers=asked)
        assert preflight.status_code == 200
        answer = await client.get("/api/tasks", headers={"Origin": OTHER})
        for headers in (preflight.headers, answer.headers):
            assert headers["access-control-allow-origin"] == OTHER
            assert "access-control-allow-credentials" not in headers
