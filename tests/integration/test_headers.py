"""What answers tell a browser of themselves: on pages, parts and the API, and HSTS behind TLS alone."""

import base64
import hashlib
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from openlinear.headers import SecurityHeaders, script_hashes

SCRIPT = "window.known = 1;"
PAGE = f"<script>{SCRIPT}</script><script src='/a.js'></script><script type=\"module\">run()</script>"


def site(pages: Path, public_url: str) -> httpx.AsyncClient:
    async def page(_: Request) -> Response:
        return HTMLResponse(PAGE)

    async def kept(_: Request) -> Response:
        return Response(status_code=304)

    async def part(_: Request) -> Response:
        return PlainTextResponse("export {}", media_type="text/javascript")

    async def data(_: Request) -> Response:
        return JSONResponse({}, headers={"Cache-Control": "public"})

    app = Starlette(
        routes=[
            Route("/", page),
            Route("/assets/a.js", part),
            Route("/api/tasks", data),
            Route("/kept", kept),
        ]
    )
    transport = httpx.ASGITransport(SecurityHeaders(app, public_url=public_url, pages=pages))
    return httpx.AsyncClient(transport=transport, base_url=public_url)


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    (tmp_path / "login").mkdir()
    (tmp_path / "login" / "index.html").write_text(PAGE)
    (tmp_path / "index.html").write_text(PAGE)
    return tmp_path


def rules(answer: httpx.Response) -> dict[str, list[str]]:
    parts = [part.split() for part in answer.headers["content-security-policy"].split(";")]
    return {part[0]: part[1:] for part in parts}


async def test_a_page_runs_its_own_scripts_alone_and_is_shown_by_nobody(pages: Path) -> None:
    async with site(pages, "http://board.test:3001") as client:
        answer = await client.get("/")
    found = rules(answer)
    known = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    assert f"'sha256-{known}'" in found["script-src"]
    assert len(found["script-src"]) == 3  # itself, and the two inline scripts
    assert not {"'unsafe-inline'", "'unsafe-eval'"} & set(found["script-src"])
    assert found["connect-src"] == ["'self'", "ws://board.test:3001"]
    for name in ("default-src", "frame-ancestors", "base-uri", "object-src"):
        assert found[name] == ["'none'"]
    assert found["form-action"] == ["'self'"]
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("path", ["/", "/assets/a.js", "/api/tasks", "/nothing"])
async def test_everything_is_told_not_to_be_sniffed_or_framed(pages: Path, path: str) -> None:
    async with site(pages, "http://board.test") as client:
        answer = await client.get(path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert "camera=()" in answer.headers["permissions-policy"]
    assert rules(answer)["frame-ancestors"] == ["'none'"]
    assert "strict-transport-security" not in answer.headers


async def test_a_page_that_a_browser_has_kept_keeps_its_policy(pages: Path) -> None:
    async with site(pages, "http://board.test") as client:
        assert "content-security-policy" not in (await client.get("/kept")).headers


async def test_private_answers_are_kept_nowhere(pages: Path) -> None:
    async with site(pages, "http://board.test") as client:
        assert (await client.get("/api/tasks")).headers["cache-control"] == "no-store"
        assert "cache-control" not in (await client.get("/assets/a.js")).headers


async def test_behind_tls_the_browser_stays_there(pages: Path) -> None:
    async with site(pages, "https://board.test") as client:
        answer = await client.get("/api/tasks")
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        assert rules(await client.get("/"))["connect-src"] == ["'self'", "wss://board.test"]


def test_every_inline_script_is_named_once(pages: Path) -> None:
    assert len(script_hashes(pages)) == 2
