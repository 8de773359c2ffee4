"""A team as people meet it, in Chromium: made, joined by a link, worked in together, left."""

from uuid import uuid4

import pytest
from playwright.async_api import Page, expect
from sqlalchemy import text

from tests.e2e.test_board import column
from tests.support.browser import Arrive, Visitor
from tests.support.runs import Scribe

NOBODYS = "/teams/00000000-0000-4000-8000-000000000000"


async def made(owner: Visitor, name: str = "Core team") -> str:
    """A new team of this visitor's; its id."""
    page = await owner.go("/teams")
    await page.get_by_label("Name", exact=True).fill(name)
    await page.get_by_role("button", name="Create team").click()
    await expect(page.get_by_role("heading", name=name)).to_be_visible()
    return page.url.rsplit("/", 1)[1]


async def link(page: Page) -> str:
    """An invitation link, made on the team's page."""
    shown = page.locator("#made-link")
    await expect(shown).to_have_count(0)
    await page.get_by_role("button", name="Make a link").click()
    await expect(shown).to_contain_text("/join/")
    return await shown.inner_text()


async def with_project(scribe: Scribe, team_id: str) -> str:
    """A project of the team's, whose remote is not read: no engine runs here."""
    project_id = str(uuid4())
    statement = """
        INSERT INTO projects (id, user_id, team_id, name, key, description, clone_url, default_branch, demo,
                              task_counter, created_at, verified_at)
        SELECT :id, m.user_id, t.id, 'Cart service', t.key, '', 'https://example.com/cart.git', 'main', false,
               0, now(), now()
        FROM teams t JOIN team_members m ON m.team_id = t.id AND m.role = 'owner' WHERE t.id = :team"""
    async with scribe.database.transaction() as session:
        await session.execute(text(statement), {"id": project_id, "team": team_id})
    return project_id


async def add(page: Page, title: str) -> None:
    await page.get_by_role("button", name="New task").click()
    await page.keyboard.type(title)
    await page.keyboard.press("Enter")
    await expect(column(page, "todo").first).to_contain_text(title)
    await page.keyboard.press("Escape")


async def test_who_joins_sees_the_board_live_and_who_is_removed_loses_it_at_once(
    arrive: Arrive, scribe: Scribe
) -> None:
    olga, mia = await arrive("Olga Owner"), await arrive("Mia Member")
    team_id = await made(olga)
    project_id = await with_project(scribe, team_id)
    invitation = await link(olga.page)

    await mia.page.goto(f"{mia.site.url}/p/{project_id}")
    await expect(mia.page.get_by_text("This project does not exist")).to_be_visible()
    await mia.page.goto(invitation)
    await expect(mia.page.get_by_text("Olga Owner invites you as a member")).to_be_visible()
    await mia.page.get_by_role("button", name="Join the team").click()
    await expect(mia.page.get_by_text("Mia Member", exact=True)).to_be_visible()
    await expect(mia.page.get_by_role("button", name="Make a link")).to_have_count(0)
    await expect(mia.page.locator(".sidebar .caption", has_text="Core team")).to_be_visible()
    await mia.page.locator(".sidebar .nav-row", has_text="Cart service").click()

    owners = await olga.go(f"/p/{project_id}")
    await add(owners, "Seen by both")
    await expect(column(mia.page, "todo").first).to_contain_text("Seen by both")
    await add(mia.page, "Mia's own")
    await expect(column(owners, "todo").first).to_contain_text("CORE-2")
    await column(mia.page, "todo").first.locator(".card-link").click()
    panel = mia.page.get_by_role("complementary", name="Task")
    await expect(panel).to_contain_text("CORE-2")

    team = await olga.go(f"/teams/{team_id}")
    mias = team.locator(".row", has_text="Mia Member").first
    await mias.get_by_role("button", name="Remove").click()
    mia.frames.clear()
    await team.get_by_role("group").get_by_role("button", name="Remove").click()
    await expect(mia.page.get_by_text("This project does not exist")).to_be_visible()
    await expect(mia.page.get_by_text("This task does not exist")).to_be_visible()
    await expect(mia.page.locator(".sidebar .nav-row", has_text="Cart service")).to_have_count(0)
    await expect(team.get_by_label("Role of Mia Member")).to_have_count(0)
    await expect(team.get_by_text("removed Mia Member")).to_be_visible()
    owners = await olga.go(f"/p/{project_id}")
    await add(owners, "Seen by one")
    assert not any("Seen by one" in frame for frame in mia.frames)
    await mia.page.goto(invitation)
    await expect(mia.page.get_by_role("alert")).to_contain_text("Ask for a new one")


async def test_roles_limits_and_the_log_on_the_teams_page(arrive: Arrive, scribe: Scribe) -> None:
    olga, mia = await arrive("Olga Owner"), await arrive("Mia Member")
    team_id = await made(olga, "Paid team")
    page = olga.page
    await mia.page.goto(await link(page))
    await mia.page.get_by_role("button", name="Join the team").click()
    await expect(mia.page.get_by_role("heading", name="Paid team")).to_be_visible()
    await page.reload()
    await expect(page.locator("#made-link")).to_have_count(0)

    cost = page.get_by_label("Cost, US dollars")
    await cost.fill("2")
    await cost.blur()
    await expect(cost).to_have_value("2.00")
    await page.get_by_label("Role of Mia Member").select_option("admin")
    await expect(page.get_by_text("made Mia Member an admin")).to_be_visible()
    await mia.page.reload()
    await expect(mia.page.get_by_role("button", name="Make a link")).to_be_visible()
    await expect(mia.page.get_by_label("Role of Olga Owner")).to_have_count(0)
    await expect(mia.page.get_by_role("button", name="Delete team")).to_have_count(0)

    project_id = await with_project(scribe, team_id)
    await mia.page.goto(f"{mia.site.url}/p/{project_id}")
    await add(mia.page, "Bounded")
    await column(mia.page, "todo").first.locator(".card-link").click()
    panel = mia.page.get_by_role("complementary", name="Task")
    await panel.get_by_text("Limits", exact=True).click()
    await expect(panel.get_by_label("Cost, US dollars")).to_have_attribute("placeholder", "At most 2.00")
    await expect(panel.get_by_role("link", name="the team's")).to_be_visible()
    await panel.get_by_label("New label").fill("Shared")
    await panel.get_by_label("New label").press("Enter")
    await page.goto(mia.page.url)
    await expect(page.get_by_role("button", name="Shared")).to_be_visible()

    await olga.go("/projects")
    await expect(page.locator("select[name=home]")).to_contain_text("Paid team")
    await olga.go(f"/teams/{team_id}")
    await page.get_by_role("button", name="Delete team").click()
    await page.get_by_role("group").get_by_role("button", name="Delete team").click()
    await expect(page.get_by_text("The team has 1 project")).to_be_visible()
    await page.get_by_role("button", name="Leave").click()
    await page.get_by_role("group").get_by_role("button", name="Leave").click()
    await expect(page.get_by_text("A team needs an owner")).to_be_visible()
    await page.get_by_role("button", name="Delete Cart service").click()
    await page.get_by_role("group").get_by_role("button", name="Delete").click()
    await expect(page.get_by_text("deleted the project Cart service")).to_be_visible()
    await page.get_by_role("button", name="Delete team").click()
    await page.get_by_role("group").get_by_role("button", name="Delete team").click()
    await page.wait_for_url("**/teams")
    await expect(page.get_by_text("You are in no team")).to_be_visible()


async def test_a_newcomer_registers_on_the_way_to_the_team(arrive: Arrive) -> None:
    olga = await arrive("Olga Owner")
    await made(olga)
    invitation = await link(olga.page)
    assert olga.context.browser is not None
    context = await olga.context.browser.new_context(viewport={"width": 390, "height": 844})
    page = await context.new_page()
    await page.goto(invitation)
    await page.wait_for_url("**/login**")
    await page.get_by_role("link", name="Register").click()
    await page.get_by_label("Name").fill("New Comer")
    await page.get_by_label("Email").fill(f"{uuid4().hex[:12]}@example.com")
    await page.get_by_label("Password").fill("correct horse battery")
    await page.get_by_role("button", name="Create account").click()
    await page.get_by_role("button", name="Join the team").click()
    await expect(page.get_by_text("New Comer", exact=True)).to_be_visible()


@pytest.mark.parametrize("place", ["/join/wrong", "/teams/wrong", NOBODYS])
async def test_what_leads_nowhere_says_so(arrive: Arrive, place: str) -> None:
    page = await (await arrive()).go(place)
    await expect(page.get_by_role("link", name="See your teams")).to_be_visible()
