"""A newcomer's way through the board, in Chromium, on a real database."""

from uuid import uuid4

from playwright.async_api import Browser, Page, expect

from engine.record import Entry
from tests.support.browser import PASSWORD, Arrive, Site, Visitor
from tests.support.runs import Scribe

PATCH = """diff --git a/src/cart.py b/src/cart.py
--- a/src/cart.py
+++ b/src/cart.py
@@ -1,2 +1,2 @@
-def total(items): return sum(items)
+def total(items): return round(sum(items), 2)
 # end
"""


async def demo(visitor: Visitor) -> Page:
    """The visitor's demo board: three cards in Todo."""
    page = await visitor.go("/projects")
    await page.get_by_role("button", name="Try the demo project").click()
    await expect(page.locator("[data-column=todo] [data-card]")).to_have_count(3)
    return page


def column(page: Page, name: str):
    return page.locator(f"[data-column={name}] [data-card]")


async def execute(page: Page) -> str:
    """Execute the first card of Todo; its task's id."""
    card = column(page, "todo").first
    task_id = await card.get_attribute("data-card")
    assert task_id is not None
    await card.hover()
    await card.get_by_role("button", name="Execute").click()
    await expect(column(page, "in_progress")).to_have_count(1)
    return task_id


async def test_from_registering_to_a_card_in_a_second_browser(site: Site, chromium: Browser) -> None:
    context = await chromium.new_context(viewport={"width": 1440, "height": 900})
    page = await context.new_page()
    trouble: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    await page.goto(site.url)
    await page.wait_for_url("**/login**")
    await page.get_by_role("link", name="Register").click()
    email = f"{uuid4().hex[:12]}@example.com"
    await page.get_by_label("Name").fill("Grace Hopper")
    await page.get_by_label("Email").fill(email)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Create account").click()
    await page.get_by_role("button", name="Try the demo project").click()
    await expect(page.get_by_text("Demo model, scripted")).to_be_visible()
    await expect(column(page, "todo")).to_have_count(3)

    second = await chromium.new_context(viewport={"width": 1440, "height": 900})
    other = await second.new_page()
    await other.goto(page.url)
    await other.get_by_label("Email").fill(email)
    await other.get_by_label("Password").fill(PASSWORD)
    await other.get_by_role("button", name="Log in").click()
    await expect(column(other, "todo")).to_have_count(3)

    await page.keyboard.press("c")
    await page.keyboard.type("Sort the basket by price")
    await page.keyboard.press("Enter")
    for window in (page, other):
        await expect(column(window, "todo").first).to_contain_text("Sort the basket by price")
    await expect(page.get_by_label("Title of the new task")).to_have_value("")
    assert not trouble


async def test_a_dragged_card_moves_at_once_and_everywhere(arrive: Arrive) -> None:
    ada = await arrive()
    page = await demo(ada)
    twin = await ada.again()
    other = await twin.go(page.url.removeprefix(ada.site.url))
    await expect(column(other, "todo")).to_have_count(3)

    title = await column(page, "todo").first.locator(".card-title").inner_text()
    await column(page, "todo").first.drag_to(page.locator("[data-column=cancelled]"))
    for window in (page, other):
        await expect(column(window, "cancelled")).to_contain_text(title)
        await expect(column(window, "todo")).to_have_count(2)
    await page.reload()
    await expect(column(page, "cancelled")).to_contain_text(title)


async def test_a_run_is_followed_to_its_end(arrive: Arrive, scribe: Scribe) -> None:
    ada = await arrive()
    page = await demo(ada)
    before = await column(page, "todo").first.bounding_box()
    task_id = await execute(page)
    card = page.locator(f"[data-card='{task_id}']")
    run_id = await scribe.run_of(task_id)

    await scribe.works(run_id, "editing src/cart.py", "c1")
    await expect(card).to_contain_text("editing src/cart.py")
    running = await card.bounding_box()
    assert before and running and running["height"] <= before["height"]

    await card.locator(".card-link").click()
    panel = page.get_by_role("complementary", name="Task")
    await expect(panel.locator(".state.running")).to_contain_text("Running")
    await panel.get_by_role("tab", name="Log").click()
    await expect(panel.locator("[data-seq]").last).to_contain_text("editing src/cart.py")
    for number in range(2, 6):
        await scribe.works(run_id, f"step {number}", f"c{number}", 40 + number)
    await expect(panel.locator("[data-seq]").last).to_contain_text("step 5")
    numbers = await panel.locator("[data-seq]").evaluate_all("rows => rows.map(r => +r.dataset.seq)")
    assert numbers == list(range(1, len(numbers) + 1))

    await scribe.ends(
        run_id,
        PATCH,
        outcome="pull_request",
        pr_number=12,
        pr_url="https://github.com/a/b/pull/12",
        additions=1,
        files_changed=1,
    )
    await expect(column(page, "done")).to_contain_text("#12")
    await expect(panel.get_by_role("button", name="Execute")).to_be_visible()
    await panel.get_by_role("tab", name="Changes").click()
    await expect(panel.locator(".diff-file")).to_contain_text("round(sum(items), 2)")
    await page.keyboard.press("Escape")
    await expect(panel).to_have_count(0)


async def test_an_ask_is_answered_in_the_panel(arrive: Arrive, scribe: Scribe) -> None:
    page = await demo(await arrive())
    task_id = await execute(page)
    run_id = await scribe.run_of(task_id)
    await page.locator(f"[data-card='{task_id}'] .card-link").click()
    ask_id = await scribe.asks(run_id, "Run rm -rf build")
    await expect(page.locator(f"[data-card='{task_id}'].waiting")).to_be_visible()
    await page.get_by_role("button", name="Allow once").click()
    await expect(page.get_by_text("The agent asks for permission")).to_have_count(0)
    assert await scribe.answered(ask_id) == {"reply": "once"}


async def test_an_ask_is_denied_with_a_word(arrive: Arrive, scribe: Scribe) -> None:
    page = await demo(await arrive())
    task_id = await execute(page)
    ask_id = await scribe.asks(await scribe.run_of(task_id), "Run rm -rf build")
    await page.locator(f"[data-card='{task_id}'] .card-link").click()
    await page.get_by_placeholder("Or say what to do instead").fill("Only build/tmp")
    await page.get_by_role("button", name="Deny").click()
    await expect(page.get_by_text("The agent asks for permission")).to_have_count(0)
    assert await scribe.answered(ask_id) == {"reply": "reject", "message": "Only build/tmp"}


async def test_the_keyboard_alone(arrive: Arrive) -> None:
    page = await demo(await arrive())
    titles = await column(page, "todo").locator(".card-title").all_inner_texts()
    await page.keyboard.press("j")
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    panel = page.get_by_role("complementary", name="Task")
    await expect(panel.get_by_label("Title")).to_have_value(titles[1])
    await page.keyboard.press("Escape")
    await expect(panel).to_have_count(0)
    await page.keyboard.press("/")
    await page.keyboard.type(titles[2])
    await expect(column(page, "todo")).to_have_count(1)
    await page.keyboard.press("Escape")
    await expect(column(page, "todo")).to_have_count(3)
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()


async def test_what_is_typed_is_saved_and_what_is_removed_comes_back(arrive: Arrive) -> None:
    ada = await arrive()
    page = await demo(ada)
    await column(page, "todo").first.locator(".card-link").click()
    panel = page.get_by_role("complementary", name="Task")
    await panel.get_by_label("Title").fill("A better title")
    await panel.get_by_label("Description").click()
    await panel.get_by_label("Description").fill("Why: it reads better.")
    await panel.get_by_label("Title").focus()
    await expect(column(page, "todo").first).to_contain_text("A better title")
    await page.reload()
    await expect(panel.get_by_label("Description")).to_have_text("Why: it reads better.")
    await panel.get_by_role("button", name="Take off the board").click()
    await expect(column(page, "todo")).to_have_count(2)
    await page.get_by_role("button", name="Undo").click()
    await expect(column(page, "todo")).to_have_count(3)


async def test_signing_out_ends_every_window(arrive: Arrive) -> None:
    ada = await arrive()
    page = await demo(ada)
    tab = await ada.context.new_page()
    await tab.goto(page.url)
    await expect(column(tab, "todo")).to_have_count(3)
    await page.get_by_role("button", name="Sign out").click()
    for window in (page, tab):
        await window.wait_for_url("**/login**")


async def test_a_title_that_is_refused_stays_in_its_field(arrive: Arrive) -> None:
    page = await demo(await arrive())
    await page.keyboard.press("c")
    field = page.get_by_label("Title of the new task")
    await field.fill("too long " * 1000)
    await field.press("Enter")
    await expect(page.locator(".card.adding [role=alert]")).to_be_visible()
    assert len(await field.input_value()) == 9000
    await page.reload()
    await expect(column(page, "todo")).to_have_count(3)
    await page.keyboard.press("c")
    assert len(await field.input_value()) == 9000
    await field.fill("short")
    await field.press("Enter")
    await expect(column(page, "todo").first).to_contain_text("short")


async def test_the_log_follows_its_end_until_the_reader_scrolls(arrive: Arrive, scribe: Scribe) -> None:
    page = await demo(await arrive())
    task_id = await execute(page)
    run_id = await scribe.run_of(task_id)
    lines = [Entry("text", f"t{n}", "0", f"line {n}") for n in range(300)]
    await scribe.write(run_id, *lines, status="executing")
    await page.locator(f"[data-card='{task_id}'] .card-link").click()
    await page.get_by_role("tab", name="Log").click()
    await expect(page.get_by_text("line 299", exact=True)).to_be_in_viewport()
    log = page.get_by_role("region", name="Log")
    await log.evaluate("box => (box.scrollTop = 0)")
    latest = page.get_by_role("button", name="Latest")
    await expect(latest).to_be_visible()
    await scribe.write(run_id, Entry("text", "more", "0", "one more line"))
    await expect(page.get_by_text("one more line")).to_have_count(1)
    assert await log.evaluate("box => box.scrollTop") == 0
    await latest.click()
    await expect(page.get_by_text("one more line")).to_be_in_viewport()
    await expect(latest).to_have_count(0)
