"""What agents reach, as chosen on the settings page, in Chromium."""

from playwright.async_api import expect

from tests.support.browser import Arrive


async def test_a_person_chooses_what_their_agents_reach(arrive: Arrive) -> None:
    ada = await arrive()
    page = await ada.go("/settings")
    choice = page.get_by_label("Agents reach")
    hosts = page.get_by_label("Further hosts, one on a line")
    await expect(choice).to_have_value("listed")
    await hosts.fill("Npm.Example.com\n*.example.org")
    await hosts.blur()
    await expect(hosts).to_have_value("npm.example.com\n*.example.org")
    await hosts.fill("https://example.com/")
    await hosts.blur()
    await expect(page.get_by_role("alert")).to_contain_text("must be a host")
    await choice.select_option("none")
    await expect(hosts).to_be_hidden()
    await expect(page.get_by_role("alert")).to_have_count(0)
    await page.reload()
    await expect(choice).to_have_value("none")
    await choice.select_option("listed")
    await expect(hosts).to_have_value("npm.example.com\n*.example.org")
