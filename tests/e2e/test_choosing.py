"""Choosing cards and making a batch of them, in Chromium, on a site without a worker."""

import re
from datetime import UTC, datetime

from playwright.async_api import Locator, Page, expect

from tests.e2e.test_board import column, demo
from tests.support.browser import Arrive
from tests.support.runs import Scribe


def chosen(page: Page) -> Locator:
    return page.locator("[data-chosen]")


def bar(page: Page) -> Locator:
    return page.get_by_role("region", name="Batch")


async def test_cards_are_chosen_by_pointer(arrive: Arrive) -> None:
    page = await demo(await arrive())
    asked: list[str] = []
    page.on("websocket", lambda ws: ws.on("framesent", lambda data: asked.append(str(data))))
    await page.reload()
    cards = column(page, "todo")
    await expect(cards).to_have_count(3)
    await expect(page.get_by_role("link", name="Demo shop")).to_be_visible()  # which the page reads last
    assert asked
    asked.clear()
    await cards.nth(0).hover()
    await cards.nth(0).get_by_role("checkbox").click()
    await expect(cards.nth(0).get_by_role("checkbox")).to_be_checked()
    await expect(bar(page)).to_contain_text("1 selected")
    await cards.nth(2).click(modifiers=["Shift"])
    await expect(chosen(page)).to_have_count(3)
    await cards.nth(1).click(modifiers=["ControlOrMeta"])
    await expect(bar(page)).to_contain_text("2 selected")
    assert await cards.nth(1).get_attribute("data-chosen") is None
    assert "/t/" not in page.url
    assert all(len(frame) < 4 for frame in asked), "more than a heartbeat"
    await bar(page).get_by_role("button", name="Clear").click()
    await expect(chosen(page)).to_have_count(0)
    await expect(bar(page)).to_have_count(0)


async def test_cards_are_chosen_by_keyboard(arrive: Arrive) -> None:
    page = await demo(await arrive())
    cards = column(page, "todo")
    for key in ("j", "x", "Shift+ArrowDown"):
        await page.keyboard.press(key)
    await expect(chosen(page)).to_have_count(2)
    await expect(cards.nth(1).locator(".card-link")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(chosen(page)).to_have_count(0)
    await page.keyboard.press("ControlOrMeta+a")
    await expect(chosen(page)).to_have_count(3)
    await page.keyboard.press("x")
    await expect(chosen(page)).to_have_count(2)


async def test_what_is_chosen_survives_changes_and_goes_with_its_card(arrive: Arrive) -> None:
    ada = await arrive()
    page = await demo(ada)
    other = await (await ada.again()).go(page.url.removeprefix(ada.site.url))
    cards = column(page, "todo")
    ids = [await cards.nth(at).get_attribute("data-card") for at in range(3)]
    await page.keyboard.press("j")
    await page.keyboard.press("ControlOrMeta+a")
    await expect(bar(page)).to_contain_text("3 selected")

    await other.locator(f"[data-card='{ids[0]}']").drag_to(other.locator("[data-column=cancelled]"))
    await expect(column(page, "cancelled")).to_have_count(1)
    await expect(chosen(page)).to_have_count(3)
    await other.locator(f"[data-card='{ids[1]}'] .card-link").click()
    await other.get_by_role("button", name="Take off the board").click()
    await expect(bar(page)).to_contain_text("2 selected")
    await expect(chosen(page)).to_have_count(2)


async def test_cards_of_a_finished_batch_stand_together(arrive: Arrive, scribe: Scribe) -> None:
    page = await demo(await arrive())
    cards = column(page, "todo")
    ids = [await cards.nth(at).get_attribute("data-card") or "" for at in range(3)]
    for key in ("j", "x", "Shift+ArrowDown"):
        await page.keyboard.press(key)
    await bar(page).get_by_role("button", name="Execute batch").click()
    await expect(page).to_have_url(re.compile("/b/"))
    queued = page.locator(f"[data-card='{ids[0]}'] .in-batch")
    await expect(queued).to_have_text("Queued in a batch")
    await expect(queued).to_have_attribute("href", re.compile("/b/"))
    await page.keyboard.press("Escape")
    pushed = {"outcome": "pull_request", "pr_number": 12, "pr_url": "https://github.com/a/b/pull/12"}
    for task_id in ids[:2]:
        run_id = await scribe.run_of(task_id)
        await scribe.begins(run_id)
        await scribe.ends(run_id, started_at=datetime.now(UTC), **pushed)
    group = page.locator(".group")
    await expect(group).to_contain_text("Batch of 2")
    await expect(group.get_by_role("link", name="#12")).to_be_visible()

    await group.get_by_role("button").click()
    await expect(column(page, "done")).to_have_count(0)
    await page.locator(f"[data-card='{ids[2]}']").drag_to(group)
    await expect(column(page, "done")).to_have_count(1)
    await group.get_by_role("button").click()
    await expect(column(page, "done")).to_have_count(3)
    await page.reload()
    await expect(column(page, "done")).to_have_count(3)
    await expect(column(page, "done").first).to_have_attribute("data-card", ids[2])
    await expect(group).to_have_count(1)
    await group.get_by_role("link", name="Batch of 2").click()
    await expect(page.get_by_role("complementary", name="Batch")).to_contain_text("2 of 2 done")
