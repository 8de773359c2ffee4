"""Access tokens: what they may, what they may not, and their end, on a real PostgreSQL."""

import asyncio
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import select

from openlinear import db
from openlinear.models import AccessToken, User
from openlinear.models.columns import now
from openlinear.services import accounts, logins, tokens
from openlinear.services.errors import Forbidden, Invalid, NotFound, NotSignedIn
from openlinear.services.views import Actor, ProjectView
from tests.support.people import bearing, following, log_in, waiting
from tests.support.product import PASSWORD, MakeActor, uses_kept

pytestmark = pytest.mark.usefixtures("product")
Api = httpx.AsyncClient


async def made(actor: Actor, scope: str = "read", days: int = 90) -> tokens.NewToken:
    async with db.transaction() as session:
        return await tokens.make(session, actor, "CI", scope, days)


async def test_a_token_is_shown_once_and_kept_as_a_digest(api: Api, ada: Actor) -> None:
    login = bearing(await log_in(ada.email))
    answer = await api.post("/api/account/tokens", json={"name": "CI", "scope": "write"}, headers=login)
    token = answer.json()["token"]
    assert token.startswith("olp_")
    assert len(token) > 40
    (listed,) = (await api.get("/api/account/tokens", headers=login)).json()["items"]
    assert listed == {key: value for key, value in answer.json().items() if key != "token"}
    assert set(listed) == {"id", "name", "scope", "createdAt", "usedAt", "expiresAt"}
    async with db.transaction() as session:
        row = await session.scalar(select(AccessToken))
    assert row is not None
    assert token not in str(row.model_dump())
    assert timedelta(days=89) < row.expires_at - now() < timedelta(days=91)


async def test_a_reading_token_reads_and_writes_nothing(api: Api, ada: Actor, project: ProjectView) -> None:
    task = {"projectId": str(project.id), "title": "Fix"}
    reading, writing = [bearing((await made(ada, scope)).token) for scope in ("read", "write")]
    assert (await api.get("/api/projects", headers=reading)).json()["items"][0]["id"] == str(project.id)
    for method, path in (("POST", "/api/tasks"), ("DELETE", f"/api/projects/{project.id}")):
        refused = await api.request(method, path, json=task, headers=reading)
        assert refused.status_code == 403
        assert "Account page" in refused.json()["detail"]
    assert (await api.post("/api/tasks", json=task, headers=writing)).status_code == 201
    assert len((await api.get("/api/tasks", headers=reading)).json()["items"]) == 1


async def test_a_token_cannot_look_after_the_account(api: Api, ada: Actor) -> None:
    one = await made(ada, "write")
    asked = {
        ("POST", "/api/account/tokens"): {"name": "More"},
        ("GET", "/api/account/tokens"): None,
        ("DELETE", f"/api/account/tokens/{one.view.id}"): None,
        ("GET", "/api/account/sessions"): None,
        ("DELETE", "/api/account/sessions"): None,
        ("DELETE", f"/api/account/sessions/{ada.session_id}"): None,
        ("POST", "/api/account/password"): {"currentPassword": PASSWORD, "newPassword": "another one"},
        ("POST", "/api/account/administrator"): {"token": "x"},
        ("GET", "/api/admin/accounts"): None,
        ("POST", "/api/admin/invitations"): None,
    }
    for (method, path), body in asked.items():
        answer = await api.request(method, path, json=body, headers=bearing(one.token))
        assert answer.status_code == 403, (method, path)
        assert "Sign in" in answer.json()["detail"]
    await log_in(ada.email)


async def test_what_is_open_with_a_token_ends_when_it_is_revoked(
    served: str, ada: Actor, make_actor: MakeActor
) -> None:
    bo = await make_actor("Bo")
    one, kept = await made(ada), await made(ada)
    async with following(served, one.token) as ending, following(served, kept.token) as going_on:
        with pytest.raises(NotFound):
            async with db.transaction() as session:
                await tokens.revoke(session, bo, one.view.id)
        async with db.transaction() as session:
            await tokens.revoke(session, ada, one.view.id)
        async with asyncio.timeout(10):
            await ending
        assert not going_on.done()
    async with httpx.AsyncClient(base_url=served) as client:
        assert (await client.get("/api/auth/me", headers=bearing(one.token))).status_code == 401
        assert (await client.get("/api/auth/me", headers=bearing(kept.token))).status_code == 200


async def test_a_writing_token_can_end_itself(api: Api, ada: Actor) -> None:
    one = bearing((await made(ada, "write")).token)
    assert (await api.post("/api/auth/logout", headers=one)).status_code == 204
    assert (await api.get("/api/auth/me", headers=one)).status_code == 401


async def test_a_token_is_over_at_its_end_and_a_wrong_one_is_none(api: Api, ada: Actor) -> None:
    one = await made(ada)
    for wrong in ("olp_", "olp_wrong", one.token[:-1], one.token + "x", one.token.upper()):
        assert (await api.get("/api/auth/me", headers=bearing(wrong))).status_code == 401
    assert (await api.get("/api/auth/me", headers=bearing(one.token))).status_code == 200
    await uses_kept()
    async with db.transaction() as session:
        row = await session.get_one(AccessToken, one.view.id)
        assert row.used_at is not None
        row.expires_at = now()
    assert (await api.get("/api/auth/me", headers=bearing(one.token))).status_code == 401


@pytest.mark.parametrize(("scope", "days"), [("admin", 90), ("", 90), ("read", 0), ("read", 367)])
async def test_a_token_has_a_known_scope_and_an_end(ada: Actor, scope: str, days: int) -> None:
    with pytest.raises(Invalid):
        await made(ada, scope, days)


async def test_one_has_so_many_tokens_only(ada: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MOST", 2)
    ends = await asyncio.gather(*(made(ada) for _ in range(4)), return_exceptions=True)
    assert [isinstance(one, tokens.NewToken) for one in ends].count(True) == 2
    async with db.transaction() as session:
        await tokens.revoke(
            session, ada, next(one for one in ends if isinstance(one, tokens.NewToken)).view.id
        )
    await made(ada)


async def test_a_login_that_ends_while_its_token_waits_gets_none(ada: Actor) -> None:
    """The password is changed, or the account disabled, by who holds the user's row."""
    async with db.transaction() as ending:
        await ending.get_one(User, ada.id, with_for_update=True)
        late = asyncio.create_task(made(ada))
        await waiting(ending)
        await logins.end_all(ending, ada.id)
    with pytest.raises(NotSignedIn):
        await late
    async with db.transaction() as session:
        assert await session.scalar(select(AccessToken)) is None


async def test_the_actor_says_what_a_token_may(ada: Actor) -> None:
    one = await made(ada, "write")
    async with db.transaction() as session:
        actor = await accounts.authenticate(session, one.token)
        assert (actor.id, actor.scope, actor.session_id) == (ada.id, "write", one.view.id)
        with pytest.raises(Forbidden):
            await tokens.list_tokens(session, actor)
