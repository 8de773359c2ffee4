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


async def post(context: BrowserContext, stack: Stack, path: str, body: Json) -> Any:
    """As whoever is signed in there."""
    answer = await context.request.post(f"/api{path}", data=body, headers={"Origin": stack.url})
    assert answer.ok, await answer.text()
    return await answer.json() if await answer.body() else None


async def enter(context: BrowserContext, stack: Stack, email: str, how: str) -> None:
    await post(context, stack, f"/auth/{how}", {"name": email[:8], "email": email, "password": PASSWORD})


@dataclass
class Board:
    """A team's project, whose maker has it open in their browser."""

    stack: Stack
    repo: Repo
    context: BrowserContext
    page: Page
    project: Json
    email: str
    team: str

    async def window(self, email: str, how: str = "login") -> Page:
        """The same page in a browser of its own, of this person."""
        browser = self.context.browser
        assert browser is not None
        context = await browser.new_context(base_url=self.stack.url)
        await enter(context, self.stack, email, how)
        if how == "register":
            invitation = await post(
                self.context, self.stack, f"/teams/{self.team}/members", {"role": "member"}
            )
            await post(context, self.stack, "/teams/join", {"token": invitation["token"]})
        page = await context.new_page()
        await page.goto(self.page.url)
        return page

    async def task(self, title: str, *, delay: float = 0.0, **changes: Any) -> str:
        """A card whose agent writes a file of that name; its task's id."""
        name = f"batch-{uuid4().hex[:8]}"
        marker = self.stack.model.script(
            name, Turn("", [Write(f"{title.lower()}.txt", title)], delay=delay), Turn("It is written.")
        )
        body = {"projectId": self.project["id"], "title": title, "description": marker, **changes}
        return str((await post(self.context, self.stack, "/tasks", body))["id"])

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
    email = f"{name}@example.org"
    await enter(context, stack, email, "register")
    provider = {
        "providerId": "scripted",
        "apiKey": stack.model.key,
        "baseUrl": f"http://host.docker.internal:{stack.model.port}/v1",
        "models": [stack.model.model],
    }
    await post(context, stack, "/opencode/auth", provider)
    team = (await post(context, stack, "/teams", {"name": f"Team {name}"}))["id"]
    remote = {"cloneUrl": repo.url, "remoteUsername": "x-access-token", "remotePassword": TOKEN}
    project = await post(context, stack, "/projects", {"name": name, "teamId": team, **remote})
    page = await context.new_page()
    await page.goto(f"/p/{project['id']}")
    yield Board(stack, repo, context, page, project, email, team)
    await context.close()


async def test_chosen_cards_become_one_pull_request(board: Board) -> None:
    page = board.page
    for title in ("Alpha", "Beta", "Gamma"):
        await board.task(title, delay=1.0)
    await expect(column(page, "todo")).to_have_count(3)
    await page.keyboard.press("j")
    await page.keyboard.press("ControlOrMeta+a")
    panel = await board.execute("Parallel")
    await expect(row(panel, "Alpha")).to_contain_text("Running", timeout=60 * SECONDS)
    await expect(page.get_by_role("navigation", name="Batches")).to_contain_text("Batch of 3")
    await expect(panel).to_contain_text("3 of 3 done", timeout=60 * SECONDS)
    await expect(panel.get_by_role("status")).to_have_text("Done", timeout=60 * SECONDS)
    await expect(column(page, "done")).to_have_count(3)
    await expect(page.locator(".group")).to_contain_text("Batch of 3")
    await expect(page.get_by_role("navigation", name="Batches")).to_have_count(0)

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


async def test_a_refusal_shows_in_the_bar_and_loses_nothing(board: Board) -> None:
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


async def test_a_queue_waits_for_its_person_and_all_may_watch(board: Board) -> None:
    page = board.page
    for title in ("Delta", "Epsilon", "Zeta"):
        await board.task(title)
    await expect(column(page, "todo")).to_have_count(3)
    await board.choose("Delta", "Epsilon", "Zeta")
    panel = await board.execute("Queue")
    begun, *rest = [await panel.locator(".row-title").nth(at).inner_text() for at in range(3)]
    await expect(page.get_by_text("Queued in a batch").first).to_be_visible()
    await expect(row(panel, begun)).to_contain_text("To approve", timeout=60 * SECONDS)
    await expect(page.get_by_role("navigation", name="Batches")).to_contain_text("waits for approval")
    await page.reload()
    await expect(row(panel, begun)).to_contain_text("To approve")

    other = await board.window(board.email)
    mate = await board.window(f"mate-{board.email}", "register")
    for window in (other, mate):
        await expect(row(batch_panel(window), begun)).to_contain_text("To approve")
    await batch_panel(mate).get_by_role("button", name="Approve").click()
    await expect(mate.locator(".toast")).to_contain_text("approve it")

    await row(panel, rest[0]).get_by_role("button", name="Cancel this task").click()
    for window in (page, other, mate):
        await expect(row(batch_panel(window), rest[0])).to_contain_text("Cancelled")
    await panel.get_by_role("button", name="Approve").click()
    for window in (page, other, mate):
        await expect(batch_panel(window).get_by_role("status")).to_have_text("Done", timeout=60 * SECONDS)
        await expect(batch_panel(window)).to_contain_text("2 of 3 done")
        await expect(column(window, "done")).to_have_count(2)
        await expect(window.locator(".group")).to_contain_text("Batch of 3")
    for window in (other, mate):
        await window.context.close()

    ended = page.url
    await panel.get_by_role("button", name="Retry what was left out").click()
    await expect(panel).to_contain_text("Batch of 1")
    assert page.url != ended
    await panel.get_by_role("button", name="Cancel batch").click()
    await expect(panel.get_by_role("status")).to_have_text("Cancelled", timeout=60 * SECONDS)
