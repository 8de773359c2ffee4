"""As a person does it: register, make a project and a task, press Execute, watch, find the pull request."""

import re

from playwright.async_api import Browser, expect

from tests.support.gitserver import TOKEN
from tests.support.modelserver import Edit, Turn
from tests.support.stack import Stack

FILES = {"greet.py": "print('hello')\n"}


async def test_a_person_gets_a_pull_request(stack: Stack, chromium: Browser) -> None:
    repo = stack.git.create("grace/greet", FILES)
    script = stack.model.script(
        "in_the_browser",
        Turn("I will greet **by name**.", [Edit("greet.py", "hello", "hello, Grace")]),
        Turn("It greets Grace now."),
    )
    context = await chromium.new_context(viewport={"width": 1440, "height": 900}, base_url=stack.url)
    context.set_default_timeout(20_000)
    page = await context.new_page()

    await page.goto("/register")
    await page.get_by_label("Name").fill("Grace Hopper")
    await page.get_by_label("Email").fill("grace@example.org")
    await page.get_by_label("Password").fill("correct horse battery")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/projects")

    key = {
        "providerId": "scripted",
        "apiKey": stack.model.key,
        "baseUrl": f"http://host.docker.internal:{stack.model.port}/v1",
        "models": [stack.model.model],
    }
    connected = await context.request.post("/api/opencode/auth", data=key, headers={"Origin": stack.url})
    assert connected.ok, await connected.text()

    await page.get_by_label("Clone URL").fill(repo.url)
    await page.locator("input[name=name]").fill("Greet")
    await page.get_by_label("Username").fill("x-access-token")
    await page.get_by_label("Password or token").fill(TOKEN)
    await page.get_by_role("button", name="Create project").click()
    await page.wait_for_url("**/p/*")

    await page.get_by_role("button", name="New task").click()
    await page.get_by_label("Title of the new task").fill(f"Greet by name {script}")
    await page.keyboard.press("Enter")
    card = page.locator(".card", has_text="Greet by name")
    await expect(card).to_be_visible()
    await page.keyboard.press("Escape")
    await card.click()
    panel = page.locator(".panel")
    await panel.get_by_role("button", name="Execute").click()
    await expect(panel.get_by_text("I will greet by name.")).to_be_visible(timeout=60_000)
    await expect(panel.get_by_role("link", name=re.compile(r"#\d+"))).to_be_visible(timeout=60_000)
    await panel.get_by_role("tab", name="Changes").click()
    await expect(panel.get_by_text("hello, Grace")).to_be_visible()

    [pull] = [pull for pull in stack.github.pulls if pull["full"]["title"].startswith("Greet by name")]
    assert repo.read(repo.branches()[pull["head"]], "greet.py") == b"print('hello, Grace')\n"
    await context.close()
