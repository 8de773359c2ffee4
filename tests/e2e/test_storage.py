"""Unpushed work on the card's panel and the storage page, in Chromium."""

from datetime import timedelta

import pytest
from playwright.async_api import Page, expect
from sqlalchemy import text

from engine.models import Finding, KeptWork, Run, StorageReport, now
from tests.e2e.test_board import demo, execute
from tests.support.browser import Arrive
from tests.support.runs import Scribe


async def unpushed(page: Page, scribe: Scribe, **columns: object) -> str:
    """The demo's first task, whose run failed and left work; its id."""
    task_id = await execute(page)
    run_id = await scribe.run_of(task_id)
    await scribe.ends(run_id, status="failed", error="The remote refused the push.", outcome=None)
    async with scribe.database.transaction() as session:
        run = await session.get_one(Run, run_id)
        left = [{"name": "files/node_modules", "bytes": 612_000_000, "why": "over the limit"}]
        values = {"bundle_bytes": 12_300, "files_bytes": 3_100_000, "left_out": left, **columns}
        session.add(
            KeptWork(
                run_id=run_id,
                task_id=run.task_id,
                project_id=run.project_id,
                user_id=run.user_id,
                title=run.title,
                base_sha="1" * 40,
                expires_at=now() + timedelta(days=30),
                **values,
            )
        )
    return task_id


async def test_the_panel_offers_unpushed_work(arrive: Arrive, scribe: Scribe) -> None:
    page = await demo(await arrive())
    task_id = await unpushed(page, scribe)
    await page.locator(f"[data-card='{task_id}'] .card-link").click()
    line = page.locator(".panel-facts.kept")
    await expect(line).to_contain_text("Unpushed work kept until")
    run_id = await scribe.run_of(task_id)
    await expect(line.get_by_role("link", name="Commits")).to_have_attribute(
        "href", f"/api/runs/{run_id}/kept"
    )
    await line.get_by_role("button", name="Restore").click()
    await expect(line).to_have_count(0)
    second = await scribe.run_of(task_id)
    assert second != run_id
    async with scribe.database.transaction() as session:
        assert (await session.get_one(Run, second)).restores == run_id


async def test_the_storage_page_lists_it_and_restores_it(arrive: Arrive, scribe: Scribe) -> None:
    visitor = await arrive()
    page = await demo(visitor)
    task_id = await unpushed(page, scribe)
    await page.goto(visitor.site.url + "/settings")
    await page.get_by_role("link", name="Open", exact=True).click()
    row = page.locator(".row", has_text="kept until")
    await expect(row).to_contain_text("commits 12 kB · ignored files 3.1 MB")
    await expect(row).to_contain_text("Not kept: node_modules (612 MB, over the limit)")
    await row.get_by_role("button", name="Restore").click()
    await expect(page.locator(f"[data-card='{task_id}']")).to_be_visible()


@pytest.fixture
async def measured(scribe: Scribe) -> None:
    parts = [
        {"kind": "repository", "subject": f"project-{n}", "bytes": 10**n, "user_id": None} for n in range(10)
    ]
    parts += [
        {"kind": "sandbox", "subject": "somebody", "bytes": 7 * 10**9, "user_id": None},
        {"kind": "image", "subject": "", "bytes": 720_966_721, "user_id": None},
        {"kind": "database", "subject": "", "bytes": 9 * 10**6, "user_id": None},
    ]
    async with scribe.database.transaction() as session:
        value = {"parts": parts, "free": 4 * 10**10, "total": 10**11}
        await session.merge(StorageReport(name="disk", value=value))
        detail = "Its repositories were removed with it."
        await session.merge(Finding(kind="project", subject="1", detail=detail, mended=True))
        detail = "Its work can be neither pushed nor kept; the log says why."
        await session.merge(Finding(kind="workspace", subject="2", detail=detail, mended=False))


async def test_only_the_first_account_sees_the_disk(arrive: Arrive, scribe: Scribe, measured: None) -> None:
    later = await (await arrive()).go("/settings/storage")
    await expect(later.get_by_text("Everything that your runs made is on its remote.")).to_be_visible()
    await expect(later.get_by_role("heading", name="Disk use")).to_have_count(0)


async def test_the_disk_is_shown_by_kind(arrive: Arrive, scribe: Scribe, measured: None) -> None:
    visitor = await arrive()
    async with scribe.database.transaction() as session:
        await session.execute(
            text("UPDATE users SET created_at = 'epoch' WHERE email = :email"), {"email": visitor.email}
        )
    try:
        page = await visitor.go("/settings/storage")
        group = page.locator("details", has_text="Repositories")
        await expect(group.locator("summary")).to_contain_text("1.1 GB")
        await expect(group.locator(".part").first).to_be_hidden()
        await group.locator("summary").click()
        await expect(group.locator(".part").last).to_contain_text("2 more")
        await expect(page.get_by_text("Look at it")).to_be_visible()
        await page.get_by_role("button", name="Measure").click()
        await expect(page.locator(".toast")).to_contain_text("No engine worker answered")
    finally:
        async with scribe.database.transaction() as session:
            await session.execute(
                text("UPDATE users SET created_at = now() WHERE email = :email"), {"email": visitor.email}
            )
