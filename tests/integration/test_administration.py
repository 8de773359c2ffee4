"""What administrators may, and that they see no more of projects than anybody."""

import asyncio
from types import MethodType, SimpleNamespace
from typing import Any

import httpx
import pytest

from openlinear import db
from openlinear.components.acting import Personal
from openlinear.models import User
from openlinear.pages import administration as pages_administration
from openlinear.pages.administration import AdministrationState
from openlinear.services import accounts, administration, execution, first, paging, tasks
from openlinear.services.demo import create_demo
from openlinear.services.errors import Conflict, Forbidden, NotFound, NotSignedIn
from openlinear.services.views import Actor, ProjectView
from tests.support.people import bearing, following, log_in, waiting
from tests.support.product import PASSWORD, MakeActor

pytestmark = pytest.mark.usefixtures("product")
Api = httpx.AsyncClient


async def change(actor: Actor, whom: Actor, **changes: bool) -> administration.AccountView:
    return await administration.change_account(actor, whom.id, **changes)


async def logged_in(actor: Actor) -> Actor:
    """By a new login: as they are now."""
    token = await log_in(actor.email)
    async with db.transaction() as session:
        return await accounts.authenticate(session, token)


async def test_administrators_see_all_accounts_and_nobody_else_does(
    api: Api, administrator: Actor, ada: Actor, make_actor: MakeActor
) -> None:
    await make_actor("Bo")
    login = bearing(await log_in(administrator.email))
    begun = (await api.get("/api/admin/accounts?limit=2", headers=login)).json()
    assert [one["name"] for one in begun["items"]] == ["Ada Lovelace", "Alma Administrator"]
    assert set(begun["items"][0]) == {
        *("id", "name", "username", "email", "admin", "disabled", "createdAt", "seenAt")
    }
    rest = (await api.get(f"/api/admin/accounts?cursor={begun['nextCursor']}", headers=login)).json()
    assert ([one["name"] for one in rest["items"]], rest["nextCursor"]) == (["Bo"], None)
    refused = await api.get("/api/admin/accounts", headers=bearing(await log_in(ada.email)))
    assert refused.status_code == 403


async def test_administrators_see_no_projects_of_others(
    api: Api, administrator: Actor, ada: Actor, project: ProjectView
) -> None:
    login = bearing(await log_in(administrator.email))
    assert (await api.get("/api/projects", headers=login)).json()["items"] == []
    assert (await api.get(f"/api/projects/{project.id}", headers=login)).status_code == 404


async def test_who_is_disabled_is_out_at_once_and_comes_back_when_enabled(
    served: str, administrator: Actor, ada: Actor
) -> None:
    token = await log_in(ada.email)
    async with following(served, token) as stream:
        assert (await change(administrator, ada, disabled=True)).disabled
        async with asyncio.timeout(10):
            await stream
    with pytest.raises(NotSignedIn):
        async with db.transaction() as session:
            await accounts.authenticate(session, token)
    with pytest.raises(Forbidden, match="disabled"):
        await log_in(ada.email)
    with pytest.raises(NotSignedIn):
        await log_in(ada.email, "wrong password")
    assert not (await change(administrator, ada, disabled=False)).disabled
    await log_in(ada.email)


async def test_the_last_administrator_stays_even_when_two_go_at_once(
    administrator: Actor, ada: Actor
) -> None:
    for going in ({"admin": False}, {"disabled": True}):
        with pytest.raises(Conflict, match="last administrator"):
            await change(administrator, administrator, **going)
    await change(administrator, ada, admin=True)
    ada = await logged_in(ada)
    async with db.transaction() as held:
        for one in (administrator, ada):
            await held.get_one(User, one.id, with_for_update=True)
        both = asyncio.gather(
            change(administrator, administrator, admin=False),
            change(ada, ada, disabled=True),
            return_exceptions=True,
        )
        await waiting(held, 2)
    ends = await both
    assert sorted(type(one).__name__ for one in ends) == ["AccountView", "Conflict"]


@pytest.mark.parametrize(
    ("how", "refusal"), [({"admin": False}, Forbidden), ({"disabled": True}, NotSignedIn)]
)
async def test_what_waited_is_not_done_in_the_name_of_who_is_none_any_more(
    administrator: Actor, ada: Actor, how: dict[str, bool], refusal: type[Exception]
) -> None:
    await change(administrator, ada, admin=True)
    ada = await logged_in(ada)
    async with db.transaction() as held:
        await first.alone(held)
        ending = asyncio.create_task(change(administrator, ada, **how))
        await waiting(held)
        late = asyncio.create_task(change(ada, administrator, disabled=True))
        await waiting(held, 2)
    await ending
    with pytest.raises(refusal):
        await late
    async with db.transaction() as session:
        assert (await session.get_one(User, administrator.id)).disabled_at is None


async def test_names_are_walked_as_the_database_orders_them(api: Api, administrator: Actor) -> None:
    """PostgreSQL and Python differ in what the small letters of these are."""
    async with db.transaction() as session:
        for n, name in enumerate(("İ", "İ", "Is", "ΟΔΟΣ", "ΟΔΟΣ")):
            session.add(User(name=name, username=f"u{n}", email=f"u{n}@example.com"))
    login, seen, cursor = bearing(await log_in(administrator.email)), [], ""
    while cursor is not None:
        answer = await api.get(f"/api/admin/accounts?limit=1{cursor and '&cursor='}{cursor}", headers=login)
        (one,), cursor = answer.json()["items"], answer.json()["nextCursor"]
        seen.append(one["username"])
        assert len(seen) <= 6
    assert sorted(seen) == ["alma-administrator", "u0", "u1", "u2", "u3", "u4"]
    for wrong in ("\0", "\ud800"):
        answer = await api.get(f"/api/admin/accounts?cursor={paging.encode([wrong, 'x'])}", headers=login)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "cursor")


async def test_a_second_click_for_more_shows_nobody_twice(
    administrator: Actor, make_actor: MakeActor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_administration, "PAGE", 2)
    for name in ("Bo", "Cy"):
        await make_actor(name)
    cookie = f"openlinear_session={await log_in(administrator.email)}"
    page: Any = SimpleNamespace(
        router=SimpleNamespace(headers=SimpleNamespace(cookie=cookie)),
        _owner="",
        accounts=[],
        links=[],
        more="",
    )
    page._actor, page._acting = MethodType(Personal._actor, page), MethodType(Personal._acting, page)
    await AdministrationState._read(page)
    for _ in range(2):
        await AdministrationState.show_more.fn(page)
    assert [one.name for one in page.accounts] == ["Alma Administrator", "Bo", "Cy"]


async def test_an_administrator_no_longer_is_none_at_once(api: Api, administrator: Actor, ada: Actor) -> None:
    await change(administrator, ada, admin=True)
    login = bearing(await log_in(ada.email))
    assert (await api.get("/api/admin/accounts", headers=login)).status_code == 200
    await change(administrator, ada, admin=False)
    assert (await api.get("/api/admin/accounts", headers=login)).status_code == 403


async def test_an_invitation_lets_one_in_until_it_is_revoked(
    api: Api, administrator: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGISTRATION", "invitation")
    accounts.get_settings.cache_clear()
    login = bearing(await log_in(administrator.email))

    async def register(email: str, url: str) -> int:
        body = {"name": "New", "email": email, "password": PASSWORD, "invitation": url.rpartition("#")[2]}
        answer = await api.post("/api/auth/register", json=body)
        api.cookies.clear()
        return answer.status_code

    urls = [(await api.post("/api/admin/invitations", headers=login)).json()["url"] for _ in range(2)]
    assert await register("a@example.com", urls[0]) == 201
    (left,) = (await api.get("/api/admin/invitations", headers=login)).json()["items"]
    assert left["createdBy"] == "Alma Administrator"
    assert (await api.delete(f"/api/admin/invitations/{left['id']}", headers=login)).status_code == 204
    assert (await api.delete(f"/api/admin/invitations/{left['id']}", headers=login)).status_code == 404
    assert await register("b@example.com", urls[1]) == 403


async def test_so_many_invitations_are_open_only(
    administrator: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(administration, "MOST_INVITATIONS", 2)

    async def invite() -> None:
        async with db.transaction() as session:
            await administration.invite(session, administrator)

    ends = await asyncio.gather(*(invite() for _ in range(4)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in ends) == ["Conflict", "Conflict", "NoneType", "NoneType"]
    async with db.transaction() as session:
        (one, _) = await administration.list_invitations(session, administrator)
        await administration.revoke_invitation(session, administrator, one.id)
    await invite()


async def test_who_is_disabled_leaves_no_invitation_behind(administrator: Actor, ada: Actor) -> None:
    await change(administrator, ada, admin=True)
    token = await log_in(ada.email)
    async with db.transaction() as session:
        await administration.invite(session, await accounts.authenticate(session, token))
    await change(administrator, ada, disabled=True)
    async with db.transaction() as session:
        assert await administration.list_invitations(session, administrator) == []


async def test_what_is_not_there_cannot_be_changed(administrator: Actor, ada: Actor) -> None:
    with pytest.raises(NotFound):
        await administration.change_account(administrator, administrator.session_id, admin=True)
    with pytest.raises(Forbidden):
        await change(ada, ada, admin=True)


async def test_the_runs_of_who_is_disabled_end(administrator: Actor, ada: Actor) -> None:
    async with db.transaction() as session:
        _, cards = await create_demo(session, ada)
        await execution.execute(session, ada, cards[0].id)
    await change(administrator, ada, disabled=True)
    async with db.transaction() as session:
        card = await tasks.task(session, ada, cards[0].id)
    assert card.execution is not None
    assert card.execution.status == "cancelled"
