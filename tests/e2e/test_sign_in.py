"""As a person with a GitHub account does it: sign in there, pick a repository, get a pull request."""

import re

import httpx
from playwright.async_api import Browser, expect

from tests.support.identity import Account, Repository
from tests.support.modelserver import Edit, Turn
from tests.support.product import PASSWORD
from tests.support.stack import Person, Stack


async def test_what_came_of_connecting_github_is_said_where_it_began(stack: Stack, chromium: Browser) -> None:
    stack.identity.person = Account(id=1815, login="ada", name="Ada Lovelace")
    context = await chromium.new_context(base_url=stack.url)
    context.set_default_timeout(20_000)
    body = {"name": "Ada", "email": "ada.of.no.repositories@example.com", "password": PASSWORD}
    made = await context.request.post("/api/auth/register", data=body, headers={"Origin": stack.url})
    assert made.status == 201
    page = await context.new_page()
    await page.goto("/projects")
    await expect(page.get_by_text("Sign out Ada")).to_be_visible()
    await page.get_by_role("button", name="Connect GitHub").click()
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.locator("#new").get_by_role("alert")).to_contain_text("You declined at GitHub")
    await page.get_by_role("button", name="Connect GitHub").click()
    await page.get_by_role("button", name="Authorize").click()
    await expect(page.get_by_label("Your repositories on GitHub")).to_be_visible()
    await expect(page.locator("#new").get_by_role("alert")).to_have_count(0)
    await context.close()


async def test_from_github_and_back_to_a_pull_request(stack: Stack, chromium: Browser) -> None:
    repo = stack.git.create("hedy/radio", {"hop.py": "print('one')\n"})
    stack.git.create("hedy/other", {"a.txt": "a\n"})
    stack.identity.person = Account(id=1914, login="hedy", name="Hedy Lamarr")
    stack.identity.person.emails = [("hedy@example.org", True, True)]
    stack.identity.person.repositories = [
        Repository("hedy/radio", repo.url, pushed_at="2026-02-01T00:00:00Z"),
        Repository("hedy/other", f"{stack.git.url}/hedy/other.git", pushed_at="2026-03-01T00:00:00Z"),
    ]
    context = await chromium.new_context(viewport={"width": 1440, "height": 900}, base_url=stack.url)
    context.set_default_timeout(20_000)
    page = await context.new_page()

    await page.goto("/login?next=/projects")
    await page.get_by_role("button", name="Continue with GitHub").click()
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.get_by_role("alert")).to_contain_text("You declined at GitHub")
    await page.get_by_role("button", name="Continue with GitHub").click()
    await expect(page.get_by_text("Signed in as hedy")).to_be_visible()
    await page.get_by_role("button", name="Authorize").click()
    await page.wait_for_url(re.compile("/projects/?$"))
    await expect(page.get_by_text("Sign out Hedy Lamarr")).to_be_visible()

    picks = page.locator(".picks .row")
    await expect(picks).to_have_count(2)
    await expect(picks.first).to_contain_text("hedy/other")
    await page.get_by_label("Your repositories on GitHub").fill("rad")
    await expect(picks).to_have_count(1)
    await picks.click()
    await expect(page.get_by_label("Clone URL")).to_have_value(repo.url)
    await page.get_by_role("button", name="Create project").click()
    await page.wait_for_url("**/p/*")
    await expect(page.get_by_role("heading", name="radio")).to_be_visible()

    project = page.url.rpartition("/")[2]
    [token] = [token for token, who in stack.identity.tokens.items() if who.login == "hedy"]
    async with httpx.AsyncClient(base_url=stack.url, timeout=40) as http:
        session = next(one for one in await context.cookies() if one.get("name") == "openlinear_session")
        http.headers["Authorization"] = f"Bearer {session['value']}"
        hedy = Person(stack, http, "", "Hedy Lamarr", "hedy@example.org")
        await hedy.connect_model()
        script = stack.model.script(
            "hops", Turn("Hopping.", [Edit("hop.py", "one", "eighty-eight")]), Turn("It hops.")
        )
        task = await hedy.task({"id": project}, "Hop between frequencies", description=script)
        await hedy.execute(task)
        done = await hedy.ended(task)
        assert done["executionStatus"] == "done" and done["prUrl"], done
        log = "\n".join(entry["message"] for entry in await hedy.log(task))
    pushes = [one for one in stack.git.requests if one[1].endswith("radio.git/git-receive-pack")]
    assert {password for _, _, password in pushes} == {token}
    assert stack.github.pulled_by[-1] == token
    assert repo.read(repo.branches()[done["branchName"]], "hop.py") == b"print('eighty-eight')\n"
    assert token not in log and token not in await page.content()

    await page.goto("/account")
    row = page.locator("#ways .row", has_text="GitHub")
    await expect(row).to_contain_text("Connected as hedy, for its repositories too")
    await row.get_by_role("button", name="Disconnect").click()
    await expect(page.locator("#ways").get_by_role("alert")).to_contain_text("only way into your account")
    await context.close()
