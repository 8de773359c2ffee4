"""The web server as programs and other pages meet it: API, pages and websocket on one port."""

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


async def test_a_page_that_a_browser_has_already_keeps_its_policy(site: Site) -> None:
    """The headers of a 304 replace those that were kept with the page."""
    first = await ask(site, "GET", "/login/")
    again = await ask(site, "GET", "/login/", If_None_Match=first.headers["etag"])
    assert again.status_code == 304
    assert again.headers["content-security-policy"] == first.headers["content-security-policy"]
