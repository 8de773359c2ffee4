"""Webhooks out: whose they are, what they may name, and what their secrets are."""

import asyncio

import httpx
import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from openlinear import db
from openlinear.models import Webhook
from openlinear.outside import receiver as outside
from openlinear.services import execution, webhooks
from openlinear.services.errors import Conflict, Forbidden, Invalid, NotFound
from openlinear.services.views import Actor, ProjectView
from openlinear.services.webhooks import Made, WebhookPatch
from openlinear.settings import get_settings
from tests.support.product import PASSWORD
from tests.support.receiver import Receiver, end, hook_to, log, sending, until, verified
from tests.support.teams import Crew

pytestmark = pytest.mark.usefixtures("receivable")


async def test_a_new_secret_signs_beside_the_former_one(ada: Actor, receiver: Receiver) -> None:
    made = await hook_to(ada, receiver.url)
    async with db.transaction() as session:
        again = await webhooks.rotate_secret(session, ada, made.webhook.id)
    assert again.secret != made.secret
    async with sending():
        async with db.transaction() as session:
            await webhooks.send_test(session, ada, made.webhook.id)
        ((headers, body),) = await receiver.wait(1)
    assert verified(made.secret, headers, body) == verified(again.secret, headers, body)
    assert verified(again.secret, headers, body)["type"] == "webhook.test"
    with pytest.raises(WebhookVerificationError):
        verified(again.secret, headers, body + " ")
    async with db.transaction() as session:
        row = await session.get_one(Webhook, made.webhook.id)
        assert made.secret not in repr(row) + str(row.model_dump())
        assert made.secret not in repr(made) and again.secret[6:] not in str(row.model_dump())


async def test_only_public_addresses_are_told(
    ada: Actor, project: ProjectView, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused when it is entered, as far as the text tells, and again when it is connected to."""
    made = await hook_to(ada, receiver.url)
    named = await hook_to(ada, f"http://localhost:{receiver.url.rpartition(':')[2]}/")
    monkeypatch.setenv("ALLOW_LOCAL_REMOTES", "false")
    get_settings.cache_clear()
    for url in REFUSED:
        with pytest.raises(Invalid):
            await hook_to(ada, url)
    for hook in (made, named):
        async with db.transaction() as session:
            await webhooks.send_test(session, ada, hook.webhook.id)
    async with sending():
        for hook in (made, named):
            await until(ada, hook, "pending", attempts=1, response_code=None)
            assert "private network" in (await log(ada, hook))[0].error
    assert receiver.heard == []


REFUSED = (
    *("http://example.com/", "ftp://example.com/", "https://", "https://u:p@example.com/", "hook"),
    *("https://127.0.0.1/", "https://127.1/", "https://0x7f.1/", "https://2130706433/", "https://[::1]/"),
    *(
        "https://[::ffff:127.0.0.1]/",
        "https://169.254.169.254/latest",
        "https://10.0.0.1/",
        "https://localhost/",
    ),
    *("https://host.internal/", "https://example.com/#x", "https://example.com:0/", "https://exa mple.com/"),
)


async def test_a_name_is_connected_to_where_it_was_checked(
    ada: Actor, project: ProjectView, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that says a public address first and a private one after gains nothing by it."""
    asked: list[str] = []

    async def resolve(scheme: str, host: str, port: int, *, allow_local: bool) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    monkeypatch.setattr(outside, "resolve", resolve)
    port = receiver.url.rpartition(":")[2]
    made = await hook_to(ada, f"http://does-not-exist.example:{port}/in")
    async with db.transaction() as session:
        await webhooks.send_test(session, ada, made.webhook.id)
    async with sending():
        ((headers, _),) = await receiver.wait(1)
        await until(ada, made, "delivered")
    assert headers["host"] == f"does-not-exist.example:{port}" and asked == ["does-not-exist.example"]


async def test_a_team_s_ends_go_to_its_webhooks_alone(crew: Crew, receiver: Receiver) -> None:
    of_team = await hook_to(crew.admin, receiver.url, team_id=crew.team.id)
    own = await hook_to(crew.member, receiver.url)
    card = await crew.task()
    async with db.transaction() as session:
        run_id = await execution.execute(session, crew.member, card.id)
    await end(run_id)
    (one,) = await log(crew.owner, of_team)
    assert one.type == "run.completed" and await log(crew.member, own) == []


async def test_who_may_look_after_a_webhook(crew: Crew, receiver: Receiver) -> None:
    made = await hook_to(crew.admin, receiver.url, team_id=crew.team.id)
    own = await hook_to(crew.member, receiver.url)
    for who, hook, refusal in (
        (crew.member, made, Forbidden),
        (crew.stranger, made, NotFound),
        (crew.owner, own, NotFound),
        (crew.stranger, own, NotFound),
    ):
        for act in ACTS:
            with pytest.raises(refusal):
                async with db.transaction() as session:
                    await act(session, who, hook.webhook.id)
    for who, refusal in ((crew.member, Forbidden), (crew.stranger, NotFound)):
        with pytest.raises(refusal):
            await hook_to(who, receiver.url, team_id=crew.team.id)
        with pytest.raises(refusal):
            async with db.transaction() as session:
                await webhooks.list_webhooks(session, who, crew.team.id)
    async with db.transaction() as session:
        assert await webhooks.list_webhooks(session, crew.stranger) == []
        assert [one.id for one in await webhooks.list_webhooks(session, crew.owner, crew.team.id)] == [
            made.webhook.id
        ]


ACTS = (
    webhooks.get_webhook,
    webhooks.delete_webhook,
    webhooks.rotate_secret,
    webhooks.send_test,
    webhooks.deliveries,
    lambda session, who, id_: webhooks.update_webhook(session, who, id_, WebhookPatch(enabled=False)),
    lambda session, who, id_: webhooks.send_again(session, who, id_, id_),
)


async def test_over_http(api: httpx.AsyncClient, ada: Actor, receiver: Receiver) -> None:
    said = {"email": ada.email, "password": PASSWORD}
    token = (await api.post("/api/auth/login", json=said)).json()["token"]
    api.headers["Authorization"] = f"Bearer {token}"
    made = await api.post(
        "/api/webhooks", json={"url": receiver.url, "events": ["batch.failed", "run.failed"]}
    )
    assert made.status_code == 201 and made.json()["events"] == ["run.failed", "batch.failed"]
    secret, at = made.json()["secret"], f"/api/webhooks/{made.json()['id']}"
    assert (await api.post("/api/webhooks", json={"url": receiver.url, "events": ["all"]})).status_code == 422
    changed = await api.patch(at, json={"description": "Chat", "enabled": True})
    assert changed.json()["description"] == "Chat"
    assert "secret" not in (await api.get(at)).text + (await api.get("/api/webhooks")).text
    assert (await api.post(f"{at}/secret")).json()["secret"] != secret
    assert (await api.post(f"{at}/test")).status_code == 202
    assert (await api.post(f"{at}/test")).status_code == 409
    async with sending():
        async with asyncio.timeout(20):
            while (one := (await api.get(f"{at}/deliveries")).json()["items"][0])["status"] == "pending":
                await asyncio.sleep(0.02)
    assert (one["type"], one["status"], one["responseCode"]) == ("webhook.test", "delivered", 200)
    again = await api.post(f"{at}/deliveries/{one['id']}/retry")
    assert again.status_code == 202 and again.json()["status"] == "pending"
    assert (await api.delete(at)).status_code == 204
    assert (await api.get(at)).status_code == 404


async def test_at_most_ten(ada: Actor) -> None:
    made = await asyncio.gather(
        *(hook_to(ada, f"http://127.0.0.1:{port}/") for port in range(1, 13)), return_exceptions=True
    )
    assert sum(isinstance(one, Made) for one in made) == webhooks.MOST
    assert all(isinstance(one, Made | Conflict) for one in made)
