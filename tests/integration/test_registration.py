"""Who may make an account, on a real PostgreSQL."""

import asyncio

import httpx
import pytest

from openlinear import db
from openlinear.services import accounts, first, invitations, registration, teams
from openlinear.services.errors import Forbidden
from openlinear.services.views import Actor, UserView
from openlinear.settings import Settings, get_settings
from tests.support.product import PASSWORD, MakeActor

pytestmark = pytest.mark.usefixtures("product")


def rule(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.setenv("REGISTRATION", mode)
    get_settings.cache_clear()


async def register(email: str, invitation: str | None = None) -> UserView:
    async with db.transaction() as session:
        _, user = await accounts.register(session, "New", email, PASSWORD, address="a", invitation=invitation)
    return user


async def invited() -> str:
    async with db.transaction() as session:
        return (await registration.invite(session, None)).rpartition("#")[2]


@pytest.mark.parametrize(
    ("host", "public", "mode"),
    [
        ("127.0.0.1", "", "open"),
        ("::1", "http://localhost:3001", "open"),
        ("localhost", "", "open"),
        ("0.0.0.0", "", "invitation"),
        ("127.0.0.1", "https://board.example.org", "invitation"),
    ],
)
def test_it_is_open_only_where_this_machine_alone_can_ask(host: str, public: str, mode: str) -> None:
    assert Settings(api_host=host, public_url=public, registration="").registration == mode
    assert Settings(api_host=host, public_url=public, registration="closed").registration == "closed"


async def test_an_account_needs_an_invitation_which_is_good_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rule(monkeypatch, "invitation")
    token = await invited()
    for wrong in (None, "", "wrong", token[:-1], "\ud800"):
        with pytest.raises(Forbidden, match="Ask"):
            await register("a@example.com", wrong)
    both = await asyncio.gather(
        register("a@example.com", token), register("b@example.com", token), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in both) == ["Forbidden", "UserView"]


async def test_a_try_that_fails_spends_no_invitation(
    make_actor: MakeActor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await make_actor()
    rule(monkeypatch, "invitation")
    token = await invited()
    with pytest.raises(Exception, match="exists already"):
        await register(ada.email, token)
    assert (await register("b@example.com", token)).email == "b@example.com"


async def test_a_teams_link_makes_as_many_accounts_as_it_lets_in(
    ada: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule(monkeypatch, "invitation")
    async with db.transaction() as session:
        team = await teams.create_team(session, ada, "Core")
        link = await invitations.invite(session, ada, team.id, uses=2)
    await register("a@example.com", link.token)
    await register("b@example.com", link.token)
    with pytest.raises(Forbidden):
        await register("c@example.com", link.token)
    async with db.transaction() as session:
        token, _ = await accounts.login(session, "a@example.com", PASSWORD, address="a")
        newcomer = await accounts.authenticate(session, token)
        assert (await invitations.join(session, newcomer, link.token)).name == "Core"


async def test_where_it_is_closed_no_invitation_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    rule(monkeypatch, "invitation")
    token = await invited()
    rule(monkeypatch, "closed")
    with pytest.raises(Forbidden, match="closed"):
        await register("a@example.com", token)
    with pytest.raises(Forbidden, match="closed"):
        await invited()


@pytest.mark.parametrize("mode", ["open", "invitation", "closed"])
async def test_the_first_administrator_comes_by_the_servers_link_and_nobody_after(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule(monkeypatch, mode)
    await register("a@example.com", first.token())
    if mode != "open":
        with pytest.raises(Forbidden):
            await register("b@example.com", first.token())
    async with db.transaction() as session:
        token, _ = await accounts.login(session, "a@example.com", PASSWORD, address="a")
    async with db.transaction() as session:
        ada = await accounts.authenticate(session, token)
        assert not ada.admin
        with pytest.raises(Forbidden):
            await first.become(session, ada, "wrong")
        await first.become(session, ada, first.token())
    async with db.transaction() as session:
        ada = await accounts.authenticate(session, token)
        assert ada.admin
        with pytest.raises(Forbidden, match="an administrator already"):
            await first.become(session, ada, first.token())


async def test_of_two_who_have_the_link_one_becomes_administrator(make_actor: MakeActor) -> None:
    people = [await make_actor(), await make_actor()]

    async def become(actor: Actor) -> None:
        async with db.transaction() as session:
            await first.become(session, actor, first.token())

    ends = await asyncio.gather(*(become(one) for one in people), return_exceptions=True)
    assert sorted(type(one).__name__ for one in ends) == ["Forbidden", "NoneType"]


async def test_over_http_the_invitation_goes_in_the_body(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule(monkeypatch, "invitation")
    assert (await api.get("/api/auth/registration")).json() == {"registration": "invitation", "mail": False}
    body = {"name": "Ada", "email": "ada@example.com", "password": PASSWORD}
    refused = await api.post("/api/auth/register", json=body)
    assert refused.status_code == 403
    assert "Ask an administrator" in refused.json()["detail"]
    made = await api.post("/api/auth/register", json={**body, "invitation": await invited()})
    assert made.status_code == 201
