"""The inbox in Chromium: told live, opened by key, read."""

from playwright.async_api import expect

from tests.e2e.test_board import column, demo
from tests.support.browser import Arrive
from tests.support.runs import Scribe


async def test_what_ends_is_told_at_once_and_opens_its_card(arrive: Arrive, scribe: Scribe) -> None:
    ada = await arrive()
    page = await demo(ada)
    card = column(page, "todo").first
    title = await card.locator(".card-title").inner_text()
    task_id = await card.get_attribute("data-card")
    assert task_id is not None
    await ada.context.request.post(f"{ada.site.url}/api/tasks/{task_id}/execute")
    run_id = await scribe.run_of(task_id)
    inbox = page.locator(".sidebar .nav-row", has_text="Inbox")
    await expect(inbox.locator(".unread")).to_have_count(0)

    ask = await scribe.asks(run_id, "May I?")
    await scribe.waits(run_id)
    await expect(inbox.locator(".unread")).to_have_text("1")
    await inbox.click()
    item = page.locator(".row.item")
    await expect(item).to_contain_text("Waits for you")
    await expect(item).to_contain_text("May I?")
    assert ask

    await scribe.ends(run_id, outcome="no_changes")
    await expect(item).to_contain_text("The agent made no changes")
    await expect(item).to_have_count(1)
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    panel = page.get_by_role("complementary", name="Task")
    await expect(panel.get_by_label("Title")).to_have_value(title)
    await expect(inbox.locator(".unread")).to_have_count(0)


async def test_all_is_read_at_once_in_every_window(arrive: Arrive, scribe: Scribe) -> None:
    ada = await arrive()
    page = await demo(ada)
    ids = await column(page, "todo").evaluate_all("cards => cards.map((card) => card.dataset.card)")
    for task_id in ids[:2]:
        await ada.context.request.post(f"{ada.site.url}/api/tasks/{task_id}/execute")
        await scribe.ends(await scribe.run_of(task_id), outcome="no_changes")
    there = await ada.again()
    other = await there.go("/projects")
    unread = other.locator(".sidebar .unread")
    await expect(unread).to_have_text("2")
    await ada.go("/inbox")
    await expect(page.locator(".row.item.fresh")).to_have_count(2)
    await page.get_by_role("button", name="Mark all read").click()
    await expect(page.locator(".row.item.fresh")).to_have_count(0)
    await expect(page.locator(".row.item")).to_have_count(2)
    await expect(unread).to_have_count(0)


async def test_an_empty_inbox_says_so(arrive: Arrive) -> None:
    page = await (await arrive()).go("/inbox")
    await expect(page.get_by_text("Nothing here.")).to_be_visible()
