"""The policy that pages are served with, in Chromium: nothing of ours breaks it, and it holds."""

import re

import httpx
import pytest
from playwright.async_api import Page, expect

from openlinear.resources import PACKAGE
from tests.e2e.test_board import column, demo
from tests.support.browser import Arrive, Site

SOURCE = (PACKAGE / "openlinear.py").read_text()
PATHS = re.findall(r'route="(/[^"\[]+)"', SOURCE)
"""Every page that needs nothing to be shown."""


def watched(page: Page) -> list[str]:
    """What the page's console says of the policy, from now on."""
    said: list[str] = []
    page.on(
        "console", lambda line: said.append(line.text) if "Content Security Policy" in line.text else None
    )
    page.on("pageerror", lambda error: said.append(str(error)))
    return said


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_page_breaks_the_policy(arrive: Arrive, scheme: str) -> None:
    ada = await arrive()
    said = watched(ada.page)
    await ada.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page = await demo(ada)
    await column(page, "todo").first.locator(".card-link").click()
    await expect(page.get_by_role("complementary", name="Task")).to_be_visible()
    board = page.url
    await ada.go("/teams")
    await page.get_by_label("Name", exact=True).fill("Core team")
    await page.get_by_role("button", name="Create team").click()
    await expect(page.get_by_role("button", name="Make a link")).to_be_visible()
    assert {"/projects", "/inbox", "/settings", "/login"} <= set(PATHS)
    for path in PATHS:
        await ada.go(path)
        await expect(page.locator("h1")).to_be_visible()
    await page.goto(board)
    await expect(page.get_by_role("complementary", name="Task")).to_be_visible()
    assert said == []


async def test_a_script_that_is_not_ours_does_not_run(arrive: Arrive) -> None:
    page = await demo(await arrive())
    said = watched(page)
    await page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.stolen = document.title";
            document.body.append(script);
        }"""
    )
    assert await page.evaluate("window.stolen") is None
    with pytest.raises(Exception, match="unsafe-eval"):
        await page.evaluate("eval('1')")
    assert any("script-src" in line for line in said)


async def test_a_login_that_is_over_leads_to_the_login_page_and_back(arrive: Arrive) -> None:
    ada = await arrive()
    page = await demo(ada)
    await ada.context.clear_cookies()
    await page.get_by_role("link", name="Teams").click()
    await page.wait_for_url("**/login?next=*")


@pytest.mark.parametrize("path", ["/login/", "/favicon.svg", "/api/tasks", "/health", "/p/nothing"])
async def test_every_answer_has_the_headers(site: Site, path: str) -> None:
    async with httpx.AsyncClient(base_url=site.url) as client:
        answer = await client.get(path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    private = path in ("/api/tasks", "/health")
    assert (answer.headers.get("cache-control") == "no-store") == private
