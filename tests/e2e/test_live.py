"""What travels to a browser: small, its own, all of it, and harmless."""

import asyncio
import json
import re
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page, WebSocketRoute, expect
from sqlalchemy import text

from engine.record import Entry
from tests.e2e.test_board import column, demo, execute
from tests.support.browser import Arrive, Site, Visitor
from tests.support.runs import Scribe

FRAME = 1024
HOSTILE = """\
Done. <img src=x onerror="window.pwned=1"> <script>window.pwned=2</script>

![pixel](https://evil.example/pixel.png) [a link](javascript:window.pwned=3) [fine](https://example.com)

<svg onload="window.pwned=4"></svg> <iframe src="https://evil.example"></iframe>
"""


async def crowd(scribe: Scribe, page: Page, cards: int) -> None:
    """Fill the board of this page with many cards."""
    project_id = page.url.split("/p/")[1].split("/")[0]
    async with scribe.database.transaction() as session:
        statement = """
            INSERT INTO tasks (id, project_id, number, title, description, status, rank, agent, model,
                               archived, created_at, updated_at, version)
            SELECT gen_random_uuid(), :project, 100 + n, 'Task ' || n, '', 'todo', 100 + n, 'opencode', '',
                   false, now(), now(), 1
            FROM generate_series(1, :cards) AS n"""
        await session.execute(text(statement), {"project": project_id, "cards": cards})
    await page.reload()
    await expect(page.locator(".column").first.locator("header .num")).to_have_text(str(cards + 3))


def updates(frames: list[str]) -> list[str]:
    """The frames that carry state."""
    return [frame for frame in frames if '"delta"' in frame]


async def test_an_update_is_small_on_a_board_of_a_thousand_cards(arrive: Arrive, scribe: Scribe) -> None:
    ada = await arrive()
    page = await demo(ada)
    await crowd(scribe, page, 1000)
    task_id = await execute(page)
    run_id = await scribe.run_of(task_id)
    card = page.locator(f"[data-card='{task_id}']")
    ada.frames.clear()
    for number in range(30):
        await scribe.works(run_id, f"line {number} " + "日本" * 200, f"c{number}", 30 + number)
    await expect(card).to_contain_text("line 29")
    title = "\\u0001".join(["危険"] * 100) + '"' * 100
    async with scribe.database.transaction() as session:
        await session.execute(
            text("UPDATE tasks SET title = :title WHERE id = :id"), {"title": title, "id": task_id}
        )
    await scribe.ends(run_id, outcome="pull_request", pr_number=7, pr_url="https://example.com/" + "x" * 80)
    await expect(column(page, "done")).to_contain_text("#7")
    sent = updates(ada.frames)
    assert len(sent) >= 3
    assert max(len(frame.encode()) for frame in sent) <= FRAME


async def test_nobody_sees_another_persons_project(arrive: Arrive, scribe: Scribe) -> None:
    ada, bob = await arrive("Ada"), await arrive("Bob")
    page = await demo(ada)
    task_id = await execute(page)
    run_id = await scribe.run_of(task_id)

    own = await demo(bob)
    await bob.page.goto(page.url)
    await expect(bob.page.get_by_text("This project does not exist")).to_be_visible()
    await scribe.works(run_id, "secret work", "c1")
    await expect(page.locator(f"[data-card='{task_id}']")).to_contain_text("secret work")
    assert own is bob.page
    await bob.page.go_back()
    await expect(column(bob.page, "todo")).to_have_count(3)
    await scribe.works(run_id, "more secret work", "c2")
    await expect(page.locator(f"[data-card='{task_id}']")).to_contain_text("more secret work")
    assert not any("secret work" in frame or task_id in json_of(frame) for frame in bob.frames)


def json_of(frame: str) -> str:
    """What a frame says, without the address that the visitor typed in themselves."""
    return re.sub(r'"rx_router_[a-z_]+":\s*\{[^}]*\}', "", frame)


async def test_what_an_agent_writes_is_inert(arrive: Arrive, scribe: Scribe) -> None:
    page = await demo(await arrive())
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    task_id = await execute(page)
    run_id = await scribe.run_of(task_id)
    await page.locator(f"[data-card='{task_id}'] .card-link").click()
    await scribe.write(run_id, Entry("text", "t1", "0", HOSTILE), status="executing")
    prose = page.locator(".conversation > .prose")
    await expect(prose).to_contain_text("fine")
    assert await prose.locator("img, script, svg, iframe").count() == 0
    hrefs = await prose.locator("a").evaluate_all("links => links.map(a => a.getAttribute('href'))")
    assert hrefs == ["", "https://example.com"]
    assert await page.evaluate("window.pwned") is None
    assert not any("evil.example" in url for url in asked)


async def test_a_long_line_and_a_lost_connection_lose_nothing(arrive: Arrive, scribe: Scribe) -> None:
    ada = await arrive()
    routes: list[WebSocketRoute] = []

    def through(route: WebSocketRoute) -> None:
        route.connect_to_server()
        routes.append(route)

    await ada.page.route_web_socket(re.compile("_event"), through)
    page = await demo(ada)
    task_id = await execute(page)
    run_id = await scribe.run_of(task_id)
    await page.locator(f"[data-card='{task_id}'] .card-link").click()
    await page.get_by_role("tab", name="Log").click()
    long = "a long line " + "x" * 5000
    await scribe.write(run_id, Entry("text", "t1", "0", long), status="executing")
    await expect(page.locator("[data-seq]").last).to_contain_text(long)
    await routes[-1].close()
    await scribe.works(run_id, "while you were away", "c1")
    await expect(page.locator("[data-seq]").last).to_contain_text("while you were away")
    await expect(page.locator(f"[data-card='{task_id}']")).to_contain_text("while you were away")
    assert len(routes) > 1


async def test_other_pages_are_sent_nothing_of_the_board_and_coming_back_shows_all(
    arrive: Arrive, scribe: Scribe
) -> None:
    ada = await arrive()
    page = await demo(ada)
    task_id = await execute(page)
    run_id = await scribe.run_of(task_id)
    second = await ada.again()
    await second.page.goto(page.url)
    card = f"[data-card='{task_id}']"
    for place, title in (("/settings", "Settings"), ("/projects", "Projects")):
        ada.frames.clear()
        await page.locator(f".sidebar a[href^='{place}']").first.click()
        await expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()
        async with asyncio.timeout(10):
            while not any("shell_state" in frame for frame in ada.frames):  # read after the board was left
                await asyncio.sleep(0.01)
        ada.frames.clear()
        await scribe.works(run_id, f"while at {title}", title)
        await expect(second.page.locator(card)).to_contain_text(f"while at {title}")
        assert not any(f"while at {title}" in frame for frame in ada.frames)
        await page.locator(".sidebar .nav-row", has_text="Demo shop").click()
        await expect(page.locator(card)).to_contain_text(f"while at {title}")


async def knock(site: Site, origin: str) -> int:
    """The status of the answer to a websocket's handshake with this `Origin`."""
    address = urlsplit(site.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    request = (
        "GET /_event/?EIO=4&transport=websocket&token=t HTTP/1.1\r\n"
        f"Host: {address.netloc}\r\nOrigin: {origin}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    writer.write(request.encode())
    status = (await reader.readline()).split()[1]
    writer.close()
    return int(status)


@pytest.mark.parametrize("origin", ["http://evil.example", "http://localhost:1", "https://localhost", "null"])
async def test_the_websocket_is_closed_to_other_pages(site: Site, origin: str) -> None:
    assert await knock(site, origin) >= 400


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
async def test_both_names_of_this_machine_are_ours(site: Site, name: str) -> None:
    assert await knock(site, site.url.replace("localhost", name)) == 101


async def test_no_session_token_reaches_the_page(arrive: Arrive) -> None:
    ada: Visitor = await arrive()
    await demo(ada)
    (cookie,) = [c for c in await ada.context.cookies() if c["name"] == "openlinear_session"]
    assert cookie["httpOnly"]
    assert ada.frames
    assert not any(cookie["value"] in frame for frame in ada.frames)
    assert json.dumps(cookie["value"]) not in await ada.page.content()
