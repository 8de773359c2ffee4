"""The open task, in Chromium: its description, its questions, its changes."""

from typing import Any

from playwright.async_api import Locator, Page, expect

from engine.record import Entry
from tests.e2e.test_board import column, demo, execute
from tests.support.browser import Arrive
from tests.support.runs import Scribe

MARKDOWN = """\
Round **once**, at the end:

- `total` in cart
- ![pixel](https://evil.example/pixel.png) <b>not bold</b>
"""
LONG = "value = " + " + ".join(f"part_{n}" for n in range(60))


async def opened(page: Page) -> Locator:
    """The panel of the first card of Todo."""
    await column(page, "todo").first.locator(".card-link").click()
    panel = page.get_by_role("complementary", name="Task")
    await expect(panel.get_by_label("Description")).to_be_visible()
    return panel


def patch(*names: str) -> str:
    """A diff that puts one long line into each file."""
    return "".join(
        f"diff --git a/{name} b/{name}\n--- a/{name}\n+++ b/{name}\n@@ -1 +1,2 @@\n # start\n+{LONG}\n"
        for name in names
    )


async def changes(page: Page, scribe: Scribe, *names: str) -> Locator:
    """The Changes tab of a run that ended with a long line in each of these files."""
    task_id = await execute(page)
    await scribe.ends(await scribe.run_of(task_id), patch(*names))
    await page.locator(f"[data-card='{task_id}'] .card-link").click()
    await page.get_by_role("tab", name="Changes").click()
    diff = page.locator(".diff")
    await expect(diff.locator(".diff-file")).to_have_count(len(names))
    return diff


async def test_a_description_is_read_as_a_document_and_edited_as_text(arrive: Arrive) -> None:
    page = await demo(await arrive())
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    panel = await opened(page)
    described = panel.get_by_label("Description")
    await described.press("Enter")
    await expect(described).to_be_focused()
    await described.fill(MARKDOWN)
    await described.blur()
    await expect(described.locator("strong")).to_have_text("once")
    await expect(described.locator("li code")).to_have_text("total")
    await expect(described).to_contain_text("[image: pixel] <b>not bold</b>")
    assert await described.locator("img, b").count() == 0
    assert not any("evil.example" in url for url in asked)

    await described.click()
    assert await described.input_value() == MARKDOWN.rstrip()
    await described.fill("never mind")
    await described.press("Escape")
    await expect(described.locator("strong")).to_have_text("once")
    await expect(described).to_be_focused()
    await page.reload()
    await expect(described.locator("strong")).to_have_text("once")


async def test_a_refused_description_stays_in_its_editor(arrive: Arrive) -> None:
    page = await demo(await arrive())
    panel = await opened(page)
    described = panel.get_by_label("Description")
    await described.click()
    await described.fill("too long " * 12_000)
    await panel.get_by_role("textbox", name="Title").focus()
    await expect(page.locator(".toast")).to_contain_text("is the most")
    assert len(await described.input_value()) == 108_000
    await page.reload()
    await expect(page.locator("textarea[aria-label=Description]")).to_be_visible()
    assert len(await described.input_value()) == 108_000
    await described.fill("short")
    await described.blur()
    await expect(described.locator(".prose")).to_have_text("short")


def option(label: str, description: str = "") -> dict[str, str]:
    return {"label": label, "description": description}


async def test_several_questions_are_answered_at_once(arrive: Arrive, scribe: Scribe) -> None:
    page = await demo(await arrive())
    task_id = await execute(page)
    run_id = await scribe.run_of(task_id)
    questions: list[dict[str, Any]] = [
        {"question": "Which database?", "options": [option("PostgreSQL"), option("SQLite", "one file")]},
        {
            "question": "Which checks?",
            "options": [option("Lint"), option("Types"), option("Tests")],
            "multiple": True,
        },
        {"question": "Deploy?", "options": [option("Yes"), option("No")], "custom": False},
        {"question": "What name?", "options": []},
    ]
    ask_id = await scribe.asks(run_id, "Which database?", kind="question", questions=questions)
    await page.locator(f"[data-card='{task_id}'] .card-link").click()
    ask = page.locator("section.ask")
    await expect(ask.get_by_role("group")).to_have_count(4)
    await expect(ask.locator(".btn.primary")).to_have_count(1)
    answer = ask.get_by_role("button", name="Answer")

    which, checks, deploy, name = [
        ask.get_by_role("group", name=one["question"], exact=True) for one in questions
    ]
    await which.get_by_label("SQLite").check()
    await which.get_by_role("textbox").fill("DuckDB")
    await expect(which.get_by_label("SQLite")).not_to_be_checked()
    await checks.get_by_label("Lint").check()
    await checks.get_by_label("Types").check()
    await checks.get_by_label("Tests").check()
    await checks.get_by_label("Types").uncheck()
    await checks.get_by_role("textbox").fill("Spelling")
    await expect(deploy.get_by_role("textbox")).to_have_count(0)
    await name.get_by_role("textbox").fill("cart")
    await expect(answer).to_be_disabled()
    await deploy.get_by_label("No").check()
    await answer.click()
    await expect(ask).to_have_count(0)
    assert await scribe.answered(ask_id) == {
        "answers": [["DuckDB"], ["Lint", "Tests", "Spelling"], ["No"], ["cart"]]
    }


async def test_an_edit_shows_only_what_it_changed(arrive: Arrive, scribe: Scribe) -> None:
    page = await demo(await arrive())
    task_id = await execute(page)
    old = "".join(f"line {n}\n" for n in range(10))
    new = old.replace("line 5\n", "line 5\nadded\n")
    details = {"tool": "edit", "input": {"filePath": "a.py", "oldString": old, "newString": new}}
    entry = Entry("tool", "e1", "completed", "edit a.py", details=details)
    await scribe.write(await scribe.run_of(task_id), entry, status="executing")
    await page.locator(f"[data-card='{task_id}'] .card-link").click()
    lines = page.locator(".minidiff .dl")
    await expect(lines).to_have_text(["  line 4", "  line 5", "+ added", "  line 6", "  line 7"])
    await expect(page.locator(".minidiff .add")).to_have_count(1)


async def test_a_long_line_stays_whole_and_its_file_scrolls(arrive: Arrive, scribe: Scribe) -> None:
    page = await demo(await arrive())
    diff = await changes(page, scribe, "a.py", "b.py")
    code = diff.locator(".dl.add code").first
    height = "line => line.getBoundingClientRect().height"
    assert await code.evaluate(height) < 24
    scrolls = "lines => lines.scrollWidth > lines.clientWidth"
    assert await diff.locator(".lines").first.evaluate(scrolls)
    assert not await diff.locator(".diff-body").evaluate(scrolls)
    await page.set_viewport_size({"width": 390, "height": 844})
    assert await code.evaluate(height) > 24
    assert not await diff.locator(".lines").first.evaluate(scrolls)


async def test_the_tree_is_as_wide_as_its_files_need(arrive: Arrive, scribe: Scribe) -> None:
    async def width(*names: str) -> float:
        diff = await changes(await demo(await arrive()), scribe, *names)
        box = await diff.locator(".diff-tree").bounding_box()
        assert box is not None
        return box["width"]

    assert await width("a.py", "b.py", "c.py") < await width("a.py", "b.py", "c.py", "d.py")
    alone = await changes(await demo(await arrive()), scribe, "a.py")
    await expect(alone.locator(".diff-tree")).to_have_count(0)


async def test_the_branch_is_copied(arrive: Arrive, scribe: Scribe) -> None:
    page = await demo(await arrive())
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    task_id = await execute(page)
    await scribe.ends(await scribe.run_of(task_id), branch="openlinear/cart-1", outcome="pushed")
    await page.locator(f"[data-card='{task_id}'] .card-link").click()
    await expect(page.locator(".panel-facts")).to_contain_text("Branch pushed")
    await page.get_by_role("button", name="Copy the branch name").click()
    await expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == "openlinear/cart-1"
