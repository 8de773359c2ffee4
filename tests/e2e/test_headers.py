"""The policy that pages are served with, in Chromium: nothing of ours breaks it, and it holds."""

import asyncio
import re

import httpx
import pytest
from playwright.async_api import Page, expect

from openlinear.resources import PACKAGE
from tests.e2e.test_board import column, demo
from tests.support.browser import PASSWORD, Arrive, Site

SOURCE = (PACKAGE / "openlinear.py").read_text()
PATHS = re.findall(r'"(/[a-z/]+)"', SOURCE)
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
    await page.evaluate("() => void setTimeout('window.stolen = 1')")
    async with asyncio.timeout(10):
        while len(said) < 2:
            await asyncio.sleep(0.01)
    assert await page.evaluate("window.stolen") is None
    assert "inline script" in said[0]
    assert "string" in said[1]


async def test_a_login_that_is_over_leads_to_the_login_page_and_back(arrive: Arrive) -> None:
    ada = await arrive()
    await ada.context.clear_cookies()
    page = await ada.go("/teams")
    await page.wait_for_url(re.compile(r"/login/?\?next=%2Fteams"))
    await page.get_by_label("Email").fill(ada.email)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("heading", name="Teams")).to_be_visible()


@pytest.mark.parametrize("path", ["/login/", "/favicon.svg", "/api/tasks", "/health", "/p/nothing"])
async def test_every_answer_has_the_headers(site: Site, path: str) -> None:
    async with httpx.AsyncClient(base_url=site.url) as client:
        answer = await client.get(path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    private = path in ("/api/tasks", "/health")
    assert (answer.headers.get("cache-control") == "no-store") == private
