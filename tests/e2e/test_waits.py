"""What a task waits for, and what a project checks, in Chromium."""

from playwright.async_api import Locator, Page, expect

from tests.e2e.test_board import column, demo
from tests.support.browser import Arrive


async def waits(page: Page, title: str) -> Locator:
    """What the panel of this card says that it waits for."""
    await page.locator(".card-link", has_text=title).click()
    panel = page.get_by_role("complementary", name="Task")
    await expect(panel.get_by_label("Title")).to_have_value(title)
    return panel.get_by_role("group", name="Waits for")


async def add(group: Locator, text: str) -> None:
    field = group.get_by_role("textbox")
    await field.fill(text)
    await expect(group.locator("button.need")).to_have_count(1)
    await field.press("Enter")


async def test_a_task_waits_for_another_and_never_in_a_circle(arrive: Arrive) -> None:
    page = await demo(await arrive())
    first, second, _ = await column(page, "todo").locator(".card-title").all_inner_texts()
    group = await waits(page, first)
    await add(group, second)
    await expect(group.get_by_role("link", name=second)).to_be_visible()
    await expect(group.get_by_role("textbox")).to_have_value("")
    await group.get_by_role("textbox").fill("nothing is called this")
    await expect(group).to_contain_text("No other task")

    await group.get_by_role("link", name=second).click()
    group = await waits(page, second)
    await add(group, first)
    await expect(group.get_by_role("alert")).to_contain_text("circle")
    await expect(group.get_by_role("link")).to_have_count(0)

    await page.get_by_label("Status", exact=True).select_option("done")
    await page.reload()
    group = await waits(page, first)
    await expect(group.locator(".need.over")).to_contain_text(second)
    await group.get_by_role("button", name="Do not wait for it").click()
    await expect(group.get_by_role("link")).to_have_count(0)


async def test_a_project_names_its_checks(arrive: Arrive) -> None:
    ada = await arrive()
    await demo(ada)
    page = await ada.go("/projects")
    opens = page.get_by_role("button", name="Checks", exact=True)
    field = page.locator(".form.inset textarea")
    await opens.click()
    await field.fill("pytest -q\n\n  ruff check .  \n")
    await page.get_by_role("button", name="Save checks").click()
    await expect(page.get_by_text("Saved: 2 checks.")).to_be_visible()
    await page.reload()
    await opens.click()
    await expect(field).to_have_value("pytest -q\nruff check .")
    await field.fill("\n".join(["true"] * 21))
    await page.get_by_role("button", name="Save checks").click()
    await expect(page.get_by_role("alert")).to_contain_text("at most 20")
