"""Limits and attempts as people meet them, in Chromium."""

from datetime import UTC, datetime

from playwright.async_api import expect

from engine.record import Entry
from tests.e2e.test_board import PATCH, column, demo, execute
from tests.e2e.test_panel import opened
from tests.support.browser import Arrive
from tests.support.runs import Scribe


async def test_limits_are_set_for_oneself_and_for_a_task(arrive: Arrive) -> None:
    ada = await arrive()
    page = await ada.go("/settings")
    cost, time = page.get_by_label("Cost, US dollars"), page.get_by_label("Working time, minutes")
    await expect(cost).to_have_attribute("placeholder", "No limit")
    await expect(time).to_have_attribute("placeholder", "At most 30")
    await cost.fill("$2.5")
    await cost.blur()
    await expect(cost).to_have_value("2.50")
    await time.fill("a while")
    await time.blur()
    await expect(page.get_by_role("alert")).to_contain_text("enter a number")

    panel = await opened(await demo(ada))
    cost, tokens = panel.get_by_label("Cost, US dollars"), panel.get_by_label("Tokens, in and out")
    await expect(cost).to_be_hidden()
    await panel.get_by_text("Limits", exact=True).click()
    await expect(cost).to_have_attribute("placeholder", "At most 2.50")
    await tokens.fill("100,000")
    await tokens.blur()
    await expect(tokens).to_have_value("100000")
    await page.reload()
    await panel.get_by_text("Limits", exact=True).click()
    await expect(tokens).to_have_value("100000")
    await tokens.fill("")
    await tokens.blur()
    await expect(tokens).to_have_attribute("placeholder", "No limit")


async def test_an_attempt_shows_as_it_begins_and_a_spent_budget_says_where_to_raise_it(
    arrive: Arrive, scribe: Scribe
) -> None:
    page = await demo(await arrive())
    task_id = await execute(page)
    run_id = await scribe.run_of(task_id)
    card = column(page, "in_progress").first
    await expect(card.locator(".attempt")).to_have_count(0)

    details = {
        "attempt": 2,
        "attempts": 5,
        "error": "The model is away.",
        "class": "rate_limit",
        "waitSeconds": 30.0,
    }
    again = Entry("status", "attempt:2", message="Attempt 2 follows", level="warning", details=details)
    await scribe.write(run_id, again, attempt=2, attempts=5, status="executing", message="Attempt 2 follows")
    await expect(card.locator(".attempt")).to_have_text("Attempt 2 of 5")
    await card.locator(".card-link").click()
    panel = page.get_by_role("complementary", name="Task")
    await expect(panel.locator(".attempt")).to_have_text("Attempt 2 of 5")
    await expect(panel.locator(".note.retry")).to_have_text(
        "Attempt 2 of 5 after 30 s (rate limit): The model is away."
    )

    reason = "The run reached its limit of 100 tokens and was stopped. What it did so far is on its branch."
    await scribe.ends(
        run_id,
        PATCH,
        status="failed",
        error=reason,
        error_kind="budget",
        limits={"tokens": 100},
        tokens_in=110,
        branch="openlinear/cart-1",
        files_changed=1,
        additions=1,
        deletions=1,
        ended_at=datetime.now(UTC),
    )
    await expect(card.locator(".line.failed")).to_have_text(reason)
    await expect(card.locator(".num .add")).to_have_text("+1")
    await expect(card.get_by_role("link", name="Raise the limit")).to_be_visible()
    await expect(panel.locator(".error-line")).to_have_text(reason)
    await expect(panel.locator(".panel-facts")).to_contain_text("openlinear/cart-1")
    await panel.get_by_role("tab", name="Changes").click()
    await expect(panel.locator(".dl.add")).to_contain_text("round")
    await panel.get_by_role("button", name="Raise the limit").click()
    await expect(panel.get_by_label("Tokens, in and out")).to_be_focused()
