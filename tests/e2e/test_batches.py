"""Batches as people make and follow them: the whole product on real parts, in Chromium."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from playwright.async_api import Browser, BrowserContext, Locator, Page, expect

from tests.e2e.test_board import column
from tests.e2e.test_choosing import bar, chosen
from tests.support.browser import PASSWORD
from tests.support.gitserver import TOKEN, Repo
from tests.support.modelserver import Turn, Write
from tests.support.stack import Stack

SECONDS = 1000
Json = dict[str, Any]


@dataclass
class Board:
    """A project of somebody who has just registered, open in their browser."""

    stack: Stack
    repo: Repo
    context: BrowserContext
    page: Page
    project: Json
    email: str

    async def ask(self, method: str, path: str, body: Json | None = None) -> Any:
        answer = await self.context.request.fetch(
            f"/api{path}", method=method, data=body, headers={"Origin": self.stack.url}
        )
        assert answer.ok, await answer.text()
        return await answer.json() if await answer.body() else None

    async def task(self, title: str, *, delay: float = 0.0, **changes: Any) -> str:
        """A card whose agent writes a file of that name; its task's id."""
        name = f"batch-{uuid4().hex[:8]}"
        marker = self.stack.model.script(
            name, Turn("", [Write(f"{title.lower()}.txt", title)], delay=delay), Turn("It is written.")
        )
        body = {"projectId": self.project["id"], "title": title, "description": marker, **changes}
        return str((await self.ask("POST", "/tasks", body))["id"])

    async def choose(self, *titles: str) -> None:
        for title in titles:
            await self.page.locator(".card", has_text=title).click(modifiers=["ControlOrMeta"])
        await expect(chosen(self.page)).to_have_count(len(titles))

    async def execute(self, mode: str) -> Locator:
        """Press the button; the panel of the batch."""
        await bar(self.page).get_by_role("radio", name=mode).click()
        await bar(self.page).get_by_role("button", name="Execute batch").click()
        await expect(self.page).to_have_url(re.compile("/b/"))
        await expect(chosen(self.page)).to_have_count(0)
        return batch_panel(self.page)


def batch_panel(page: Page) -> Locator:
    return page.get_by_role("complementary", name="Batch")


def row(panel: Locator, title: str) -> Locator:
    return panel.get_by_role("listitem").filter(has_text=title)


@pytest.fixture
async def board(stack: Stack, chromium: Browser) -> AsyncIterator[Board]:
    name = uuid4().hex[:8]
    repo = stack.git.create(f"ada/{name}", {"README.md": "# A repository\n"})
    context = await chromium.new_context(viewport={"width": 1440, "height": 900}, base_url=stack.url)
    context.set_default_timeout(20 * SECONDS)
    person = {"name": "Ada Lovelace", "email": f"{name}@example.org", "password": PASSWORD}
    made = Board(stack, repo, context, await context.new_page(), {}, person["email"])
    await made.ask("POST", "/auth/register", person)
    provider = {
        "providerId": "scripted",
        "apiKey": stack.model.key,
        "baseUrl": f"http://host.docker.internal:{stack.model.port}/v1",
        "models": [stack.model.model],
    }
    await made.ask("POST", "/opencode/auth", provider)
    remote = {"cloneUrl": repo.url, "remoteUsername": "x-access-token", "remotePassword": TOKEN}
    made.project = await made.ask("POST", "/projects", {"name": name, **remote})
    await made.page.goto(f"/p/{made.project['id']}")
    yield made
    await context.close()


async def test_chosen_cards_become_one_pull_request(board: Board, chromium: Browser) -> None:
    page = board.page
    for title in ("Alpha", "Beta", "Gamma"):
        await board.task(title, delay=1.0)
    await expect(column(page, "todo")).to_have_count(3)
    await page.keyboard.press("j")
    await page.keyboard.press("ControlOrMeta+a")
    panel = await board.execute("Parallel")
    twin = await chromium.new_context(base_url=board.stack.url)
    login = {"email": board.email, "password": PASSWORD}
    assert (await twin.request.post("/api/auth/login", data=login)).ok
    other = await twin.new_page()
    await other.goto(page.url)

    for window in (page, other):
        await expect(row(batch_panel(window), "Alpha")).to_contain_text("Running", timeout=60 * SECONDS)
    await expect(page.get_by_role("navigation", name="Batches")).to_contain_text("Batch of 3")
    for window in (page, other):
        await expect(batch_panel(window)).to_contain_text("3 of 3 done", timeout=60 * SECONDS)
        await expect(batch_panel(window).get_by_role("status")).to_have_text("Done", timeout=60 * SECONDS)
        await expect(column(window, "done")).to_have_count(3)
        await expect(window.locator(".group")).to_contain_text("Batch of 3")
    await twin.close()

    await page.reload()
    await expect(row(panel, "Gamma")).to_contain_text("Done")
    branches = board.repo.branches()
    [pull] = [one for one in board.stack.github.pulls if one["head"] in branches]
    await expect(panel.get_by_role("link", name=f"#{pull['full']['number']}")).to_be_visible()
    written = board.repo.files(branches[pull["head"]])
    assert {"alpha.txt", "beta.txt", "gamma.txt"} <= set(written)
    await page.keyboard.press("Escape")
    await expect(panel).to_have_count(0)
    await page.get_by_role("button", name="Fold its cards").click()
    await expect(column(page, "done")).to_have_count(0)
    await page.get_by_role("button", name="Show its cards").click()
    await expect(column(page, "done")).to_have_count(3)


async def test_a_refusal_shows_in_the_bar_and_a_queue_waits_for_its_person(board: Board) -> None:
    page = board.page
    first = await board.task("Later")
    for title in ("Delta", "Epsilon"):
        await board.task(title)
    await board.task("Zeta", waitsFor=[first])
    await expect(column(page, "todo")).to_have_count(4)

    await board.choose("Later", "Delta", "Epsilon", "Zeta")
    await expect(bar(page).get_by_role("alert")).to_contain_text("at most 3")
    await expect(bar(page).get_by_role("button", name="Execute batch")).to_be_disabled()
    await page.locator(".card", has_text="Later").click(modifiers=["ControlOrMeta"])
    await bar(page).get_by_role("button", name="Execute batch").click()
    await expect(bar(page).get_by_role("alert")).to_contain_text("waits for")
    await expect(chosen(page)).to_have_count(3)
    await expect(page.get_by_text("Queued in a batch")).to_have_count(0)

    await page.locator(".card", has_text="Zeta").click(modifiers=["ControlOrMeta"])
    await page.locator(".card", has_text="Later").click(modifiers=["ControlOrMeta"])
    panel = await board.execute("Queue")
    begun, *rest = [await panel.locator(".row-title").nth(at).inner_text() for at in range(3)]
    await expect(page.get_by_text("Queued in a batch").first).to_be_visible()
    await expect(row(panel, begun)).to_contain_text("To approve", timeout=60 * SECONDS)
    await expect(page.get_by_role("navigation", name="Batches")).to_contain_text("waits for approval")
    await page.reload()
    await row(panel, rest[0]).get_by_role("button", name="Cancel this task").click()
    await expect(row(panel, rest[0])).to_contain_text("Cancelled")
    await panel.get_by_role("button", name="Approve").click()
    await expect(panel.get_by_role("status")).to_have_text("Done", timeout=60 * SECONDS)
    await expect(panel).to_contain_text("2 of 3 done")

    ended = page.url
    await panel.get_by_role("button", name="Retry what was left out").click()
    await expect(panel).to_contain_text("Batch of 1")
    assert page.url != ended
    await panel.get_by_role("button", name="Cancel batch").click()
    await expect(panel.get_by_role("status")).to_have_text("Cancelled", timeout=60 * SECONDS)
