"""Accounts as people meet them, in Chromium, on a server where one needs an invitation."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import httpx
import pytest
from playwright.async_api import Browser, BrowserContext, Page, expect

from openlinear import firstlink
from tests.support.browser import JWT_SECRET, PASSWORD, Site, serving
from tests.support.mailserver import Mailbox, receiving

Open = Callable[[str], Awaitable[Page]]
LOGIN = re.compile(r"/login/?($|\?)")
NEW, NEWER = "a quite new password", "an even newer password"


@pytest.fixture(scope="module")
async def guarded(postgres_url: str, migrated_template: str) -> AsyncIterator[tuple[Site, Mailbox]]:
    """A server of its own, without any account."""
    async with receiving() as (mailbox, settings):
        with serving(postgres_url, migrated_template, REGISTRATION="invitation", **settings) as site:
            yield site, mailbox


@pytest.fixture
async def visit(guarded: tuple[Site, Mailbox], chromium: Browser) -> AsyncIterator[Open]:
    """Open an address of the server in a browser of its own."""
    async with AsyncExitStack() as stack:

        async def go(address: str) -> Page:
            context: BrowserContext = await chromium.new_context(viewport={"width": 1440, "height": 900})
            stack.push_async_callback(context.close)
            context.set_default_timeout(10_000)
            page = await context.new_page()
            await page.goto(address if address.startswith("http") else guarded[0].url + address)
            return page

        yield go


async def register(page: Page, name: str, email: str) -> None:
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Email").fill(email)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Create account").click()


async def log_in(page: Page, email: str, password: str) -> None:
    await page.get_by_label("Email").fill(email)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Log in").click()
    await page.wait_for_url(lambda url: "/login" not in url)


async def revealed(page: Page, button: str) -> str:
    await page.get_by_role("button", name=button).click()
    return await page.locator(".revealed").inner_text()


async def printed_link(site: Site) -> str:
    """What `openlinear invite` prints."""
    env = {
        **os.environ,
        "DATABASE_URL": site.database_url,
        "REGISTRATION": "invitation",
        "PUBLIC_URL": site.url,
    }
    argv = (sys.executable, "-m", "openlinear.cli", "invite")
    process = await asyncio.create_subprocess_exec(*argv, env=env, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    return said.decode().strip()


async def test_an_account_from_its_invitation_to_its_end(guarded: tuple[Site, Mailbox], visit: Open) -> None:
    site, mailbox = guarded
    stranger = await visit("/register")
    await expect(stranger.get_by_text("An account needs an invitation here.")).to_be_visible()
    await expect(stranger.get_by_role("button", name="Create account")).to_have_count(0)

    # The server's console names the first administrator.
    alma = await visit(f"/administrator#{firstlink.token(JWT_SECRET)}")
    await expect(alma).to_have_url(re.compile(r"/administrator/?$"))
    await alma.get_by_role("link", name="register").click()
    await register(alma, "Alma Administrator", "alma@example.com")
    await alma.get_by_role("button", name="Become the administrator").click()
    await expect(alma.get_by_role("heading", name="Administration")).to_be_visible()
    await expect(alma.locator(".row", has_text="alma@example.com")).to_contain_text("administrator")

    # She invites Ada, once.
    invitation = await revealed(alma, "Make a link")
    await expect(alma.get_by_text("For one account, by Alma Administrator")).to_be_visible()
    ada = await visit(invitation)
    await expect(ada).to_have_url(re.compile(r"/register/?$"))
    await register(ada, "Ada Lovelace", "ada@example.com")
    await expect(ada.get_by_role("heading", name="Projects")).to_be_visible()
    late = await visit(invitation)
    await register(late, "Late", "late@example.com")
    await expect(late.get_by_role("alert")).to_contain_text("Ask for a new one")

    # Ada looks through her logins, and ends the one elsewhere.
    elsewhere = await visit("/login?next=/teams")
    await log_in(elsewhere, "ada@example.com", PASSWORD)
    await expect(elsewhere.get_by_role("heading", name="Teams")).to_be_visible()
    await ada.get_by_role("link", name="Account").click()
    await expect(ada.get_by_text("ada@example.com")).to_be_visible()
    await expect(ada.get_by_role("link", name="Administration")).to_have_count(0)
    await ada.get_by_role("button", name="End the login of Chrome on Linux").click()
    await elsewhere.wait_for_url(LOGIN)
    await expect(ada.get_by_role("button", name="End the login of")).to_have_count(0)

    # A token is shown once, reads, and ends.
    await ada.get_by_label("Name", exact=True).fill("Nightly report")
    token = await revealed(ada, "Make a token")
    async with httpx.AsyncClient(base_url=site.url, headers={"Authorization": f"Bearer {token}"}) as program:
        assert (await program.get("/api/tasks")).status_code == 200
        assert (await program.post("/api/labels", json={"name": "Bug"})).status_code == 403
        row = ada.locator(".row", has_text="Nightly report")
        await expect(row).to_contain_text("may read, until")
        await ada.reload()
        await expect(row).to_be_visible()
        await expect(ada.get_by_text(token)).to_have_count(0)
        await ada.get_by_role("button", name="Revoke Nightly report").click()
        await expect(row).to_have_count(0)
        assert (await program.get("/api/tasks")).status_code == 401

    # Why there is no more of something is said in a sentence.
    for n in range(50):
        made = await ada.request.post(f"{site.url}/api/account/tokens", data={"name": f"Token {n}"})
        assert made.status == 201
    await ada.get_by_label("Name", exact=True).fill("One too many")
    await ada.get_by_role("button", name="Make a token").click()
    await expect(ada.get_by_role("alert")).to_contain_text("Revoke some first")
    await ada.reload()

    # A new password: wrongly, then rightly; this page goes on, the other one ends.
    await log_in(elsewhere, "ada@example.com", PASSWORD)
    await elsewhere.goto(f"{site.url}/teams")
    await expect(elsewhere.get_by_role("heading", name="Teams")).to_be_visible()
    await ada.get_by_label("Current password").fill("wrong password")
    await ada.get_by_label("New password").fill(NEW)
    await ada.get_by_role("button", name="Change password").click()
    await expect(ada.get_by_role("alert")).to_contain_text("not your current password")
    await ada.get_by_label("Current password").fill(PASSWORD)
    await ada.get_by_role("button", name="Change password").click()
    await expect(ada.get_by_text("Your password is changed")).to_be_visible()
    await elsewhere.wait_for_url(LOGIN)

    # She forgets it, and is sent a link.
    await elsewhere.get_by_role("link", name="Forgot password?").click()
    await elsewhere.get_by_label("Email").fill("ada@example.com")
    await elsewhere.get_by_role("button", name="Send me a link").click()
    await expect(elsewhere.get_by_text("a link is on its way")).to_be_visible()
    to, text = await mailbox.letter()
    assert to == "ada@example.com"
    link = re.search(r"http://\S+/reset#\S+", text)
    assert link is not None
    await elsewhere.goto(link[0])
    await expect(elsewhere).to_have_url(re.compile(r"/reset/?$"))
    await expect(elsewhere.get_by_text("disconnects GitHub")).to_be_visible()
    await elsewhere.get_by_label("New password").fill(NEWER)
    await elsewhere.get_by_role("button", name="Set the password").click()
    await elsewhere.wait_for_url(LOGIN)
    await ada.wait_for_url(LOGIN)
    await log_in(elsewhere, "ada@example.com", NEWER)
    await expect(elsewhere.get_by_role("heading", name="Projects")).to_be_visible()

    # An administrator disables the account: its page is left at once.
    await alma.reload()
    row = alma.locator(".row", has_text="ada@example.com")
    await row.get_by_role("button", name="Disable").click()
    await expect(row).to_contain_text("disabled")
    await elsewhere.wait_for_url(LOGIN)
    await elsewhere.get_by_label("Email").fill("ada@example.com")
    await elsewhere.get_by_label("Password").fill(NEWER)
    await elsewhere.get_by_role("button", name="Log in").click()
    await expect(elsewhere.get_by_role("alert")).to_contain_text("disabled. Ask an administrator")
    own = alma.locator(".row", has_text="alma@example.com")
    await own.get_by_role("button", name="Disable").click()
    await expect(alma.get_by_text("This is the last administrator")).to_be_visible()


async def test_a_teams_link_lets_in_who_has_no_account_yet(
    guarded: tuple[Site, Mailbox], visit: Open
) -> None:
    olga = await visit(await printed_link(guarded[0]))
    await register(olga, "Olga Owner", "olga@example.com")
    await expect(olga.get_by_role("heading", name="Projects")).to_be_visible()
    await olga.goto(f"{guarded[0].url}/teams")
    await olga.get_by_label("Name", exact=True).fill("Core team")
    await olga.get_by_role("button", name="Create team").click()
    await olga.get_by_role("button", name="Make a link").click()
    mia = await visit(await olga.locator("#made-link").inner_text())
    await mia.wait_for_url(LOGIN)
    await mia.get_by_role("link", name="Register").click()
    await register(mia, "Mia Member", "mia@example.com")
    await mia.get_by_role("button", name="Join the team").click()
    await expect(mia.get_by_role("heading", name="Core team")).to_be_visible()
