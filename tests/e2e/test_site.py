"""The web server as programs and other pages meet it: API, pages and websocket on one port."""

import asyncio

import httpx
import pytest

from tests.support.browser import Site

ELSEWHERE = "http://localhost:3000"


async def ask(site: Site, method: str, path: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=site.url) as client:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await client.request(method, path, headers=named)


async def test_the_api_and_the_pages_answer_on_one_port(site: Site) -> None:
    assert (await ask(site, "GET", "/health")).json()["database"] == "ok"
    assert (await ask(site, "GET", "/api/tasks")).status_code == 401
    page = await ask(site, "GET", "/login/")
    assert page.status_code == 200
    assert "Log in" in page.text


async def test_a_deep_link_is_a_page(site: Site) -> None:
    task = "/p/00000000-0000-0000-0000-000000000000/t/00000000-0000-0000-0000-000000000000"
    assert (await ask(site, "GET", task)).status_code == 200


async def test_the_other_origin_may_call_the_api_without_the_cookie(site: Site) -> None:
    asked = {"Access_Control_Request_Method": "GET", "Access_Control_Request_Headers": "authorization"}
    allowed = await ask(site, "OPTIONS", "/api/tasks", Origin=ELSEWHERE, **asked)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == ELSEWHERE
    answer = await ask(site, "GET", "/health", Origin=ELSEWHERE)
    assert answer.headers["access-control-allow-origin"] == ELSEWHERE
    for one in (allowed, answer):
        assert "access-control-allow-credentials" not in one.headers


@pytest.mark.parametrize("path", ["/health", "/api/tasks", "/login/"])
async def test_no_other_origin_reads_anything(site: Site, path: str) -> None:
    answer = await ask(site, "GET", path, Origin="http://evil.example")
    assert "access-control-allow-origin" not in answer.headers


async def handshake(site: Site, origin: str) -> int:
    """The status that a browser gets which opens the board's websocket from a page of this origin."""
    port = int(site.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    asked = (
        "GET /_event/?EIO=4&transport=websocket HTTP/1.1",
        f"Host: localhost:{port}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version: 13",
        f"Origin: {origin}",
    )
    writer.write("\r\n".join((*asked, "", "")).encode())
    try:
        return int((await reader.readline()).split()[1])
    finally:
        writer.close()


async def test_the_websocket_opens_for_our_own_origin_alone(site: Site) -> None:
    assert await handshake(site, site.url) == 101
    for other in ("http://evil.example", "null", ELSEWHERE, f"{site.url}.evil.example", f"{site.url}0"):
        assert await handshake(site, other) != 101
