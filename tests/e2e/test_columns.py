"""Long columns, early keys and the engine's health, in Chromium."""

import asyncio
import re
from datetime import UTC, datetime

from playwright.async_api import Locator, Page, WebSocketRoute, expect
from sqlalchemy import delete, text

from engine.models import Worker
from tests.e2e.test_board import column, demo
from tests.support.browser import Arrive, Visitor
from tests.support.runs import Scribe


async def finished(scribe: Scribe, page: Page, cards: int) -> None:
    """Fill the Done column of this page's board with `Old 1`, `Old 2`, and so on."""
    project_id = page.url.split("/p/")[1].split("/")[0]
    async with scribe.database.transaction() as session:
        statement = """
            INSERT INTO tasks (id, project_id, number, title, description, status, rank, agent, model,
                               archived, created_at, updated_at, version)
            SELECT gen_random_uuid(), :project, 100 + n, 'Old ' || n, '', 'done', n, 'opencode', '',
                   false, now(), now(), 1
            FROM generate_series(1, :cards) AS n"""
        await session.execute(text(statement), {"project": project_id, "cards": cards})
    await page.reload()


async def touch(scribe: Scribe, visitor: Visitor, name: str, **columns: str) -> None:
    """Change the task of this title as another program of this person would."""
    project_id = visitor.page.url.split("/p/")[1].split("/")[0]
    async with scribe.database.transaction() as session:
        query = text("SELECT id FROM tasks WHERE project_id = :project AND title = :title")
        ident = await session.scalar(query, {"project": project_id, "title": name})
    url = f"{visitor.site.url}/api/tasks/{ident}"
    answer = await visitor.context.request.patch(url, data=columns, headers={"Origin": visitor.site.url})
    assert answer.ok, await answer.text()


def total(page: Page, title: str) -> Locator:
    return page.get_by_role("region", name=title, exact=True).locator("header .num")


async def test_a_finished_column_shows_more_and_stays_right(arrive: Arrive, scribe: Scribe) -> None:
    ada = await arrive()
    page = await demo(ada)
    await finished(scribe, page, 120)
    done = column(page, "done")
    await expect(done).to_have_count(50)
    await expect(total(page, "Done")).to_have_text("120")

    await touch(scribe, ada, "Old 90", title="Renamed 90")
    await touch(scribe, ada, "Old 110", status="cancelled")
    await expect(column(page, "cancelled")).to_have_count(1)
    await expect(total(page, "Done")).to_have_text("119")
    await expect(done).to_have_count(50)

    more = page.get_by_role("button", name=re.compile("^Show .* more"))
    await expect(more).to_have_text("Show 50 more of 69")
    await more.click()
    await expect(done).to_have_count(100)
    await expect(done.nth(89)).to_contain_text("Renamed 90")
    await touch(scribe, ada, "Old 70", title="Renamed 70")
    await expect(done.nth(69)).to_contain_text("Renamed 70")
    await expect(more).to_have_text("Show 19 more of 19")
    await more.click()
    await expect(done).to_have_count(119)
    await expect(more).to_have_count(0)
    titles = await done.locator(".card-title").all_text_contents()
    wanted = [f"Renamed {n}" if n in (70, 90) else f"Old {n}" for n in range(1, 121) if n != 110]
    assert titles == wanted


async def test_keys_that_come_before_the_board_are_not_lost(arrive: Arrive) -> None:
    ada = await arrive()
    page = await demo(ada)
    server = asyncio.Event()
    held: list[WebSocketRoute] = []

    async def late(route: WebSocketRoute) -> None:
        held.append(route)
        await server.wait()
        route.connect_to_server()

    await page.route_web_socket(re.compile("_event"), late)
    await page.reload()
    await expect(page.locator(".board.bones")).to_be_visible()
    while not held:
        await asyncio.sleep(0.01)
    await page.keyboard.press("c")
    await page.keyboard.type("Early bird")
    await page.keyboard.press("Enter")
    server.set()
    await expect(column(page, "todo").first).to_contain_text("Early bird")
    await expect(column(page, "todo")).to_have_count(4)


async def test_the_engines_health_comes_and_goes_by_itself(arrive: Arrive, scribe: Scribe) -> None:
    ada, bob = await arrive("Ada"), await arrive("Bob")
    page = await demo(ada)
    away = page.get_by_text("No engine is running")
    await expect(away).to_be_visible()
    async with scribe.database.transaction() as session:
        session.add(Worker(id="w1", name="main", version="1", seen_at=datetime.now(UTC), sandbox="docker"))
    try:
        await bob.go("/projects")
        await expect(bob.page.get_by_role("heading").first).to_be_visible()
        await expect(away).to_have_count(0)
    finally:
        async with scribe.database.transaction() as session:
            await session.execute(delete(Worker))
    await expect(away).to_be_visible(timeout=20_000)
