"""Webhooks as people meet them, in Chromium: added, told of an end; and a merge that closes a card, live."""

import hashlib
import hmac
import json

from playwright.async_api import expect

from tests.e2e.test_board import column, execute
from tests.e2e.test_teams import add, made, with_project
from tests.support.browser import Arrive
from tests.support.receiver import Receiver, verified
from tests.support.runs import Scribe

PR = "https://github.com/acme/cart/pull/7"


async def test_an_end_is_told_and_a_merge_closes_the_card(
    arrive: Arrive, scribe: Scribe, receiver: Receiver
) -> None:
    olga = await arrive("Olga Owner")
    team_id = await made(olga)
    project_id = await with_project(scribe, team_id)
    keys = {"providerId": "anthropic", "apiKey": "sk-test-1"}
    answer = await olga.context.request.post(
        f"{olga.site.url}/api/opencode/auth", data=keys, headers={"Origin": olga.site.url}
    )
    assert answer.ok
    page = await olga.go(f"/teams/{team_id}")
    await page.get_by_role("link", name="Open webhooks").click()
    await page.get_by_label("URL").fill(receiver.url + "/in")
    await page.get_by_label("batch.completed").uncheck()
    await page.get_by_role("button", name="Add webhook").click()
    secret = await page.locator("#made-secret").inner_text()
    await page.get_by_role("button", name="Set up").click()
    await expect(page.get_by_text("Nothing heard yet")).to_be_visible()
    spoken = await page.locator("#made-secret").inner_text()
    assert spoken != secret
    await page.reload()
    await expect(page.get_by_text(receiver.url)).to_be_visible()
    await expect(page.locator("#made-secret")).to_have_count(0)

    board = await olga.go(f"/p/{project_id}")
    await add(board, "Round the sum")
    task_id = await execute(board)
    run_id = await scribe.run_of(task_id)
    await scribe.ends(run_id, outcome="pull_request", pr_url=PR, pr_number=7, pushed_sha="1" * 40)
    ((headers, body),) = await receiver.wait(1)
    told = verified(secret, headers, body)
    assert told["type"] == "run.completed" and told["data"]["prUrl"] == PR  # type: ignore[index]
    done = column(board, "done").first
    await expect(done.locator(".pr")).to_have_text("#7")

    pull = {"number": 7, "merged": True, "updated_at": "2026-05-01T10:00:00Z"}
    event = {"action": "closed", "pull_request": pull, "repository": {"full_name": "acme/cart"}}
    sent = json.dumps(event).encode()
    signed = hmac.new(spoken.encode(), sent, hashlib.sha256).hexdigest()
    answer = await olga.context.request.post(
        f"{olga.site.url}/api/webhooks/github?project={project_id}",
        data=sent,
        headers={"X-GitHub-Event": "pull_request", "X-Hub-Signature-256": f"sha256={signed}"},
    )
    assert answer.status == 204
    await expect(done.locator(".pr")).to_have_text("#7 merged")

    page = await olga.go(f"/teams/{team_id}/webhooks")
    await page.get_by_role("button", name="Deliveries").click()
    sent_row = page.locator(".delivery", has_text="run.completed")
    await expect(sent_row).to_contain_text("Delivered, answered 200")
    await sent_row.get_by_role("button", name="Send again").click()
    assert len({headers["webhook-id"] for headers, _ in await receiver.wait(2)}) == 1
    await expect(sent_row).to_contain_text("2 attempts")
    await expect(page.get_by_text("Heard")).to_be_visible()
