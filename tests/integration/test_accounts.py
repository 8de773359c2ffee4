"""Accounts and logins on a real PostgreSQL."""

import asyncio
import time
from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import jwt
import pytest
from sqlalchemy import select

from openlinear import db, live
from openlinear.live import Hub, LiveState
from openlinear.models import AuthSession, User
from openlinear.models.columns import now
from openlinear.services import accounts
from openlinear.services.errors import Conflict, Invalid, NotSignedIn, TooMany
from openlinear.services.views import Actor, UserView
from openlinear.settings import get_settings
from tests.support.live import Namespace
from tests.support.product import PASSWORD, MakeActor, Workerless

pytestmark = pytest.mark.usefixtures("product")


async def register(
    name: str, email: str, password: str = PASSWORD, address: str = "a"
) -> tuple[str, UserView]:
    async with db.transaction() as session:
        return await accounts.register(session, name, email, password, address=address)


async def login(email: str, password: str = PASSWORD, address: str = "a") -> tuple[str, UserView]:
    async with db.transaction() as session:
        return await accounts.login(session, email, password, address=address)


async def whose(token: str) -> Actor:
    async with db.transaction() as session:
        return await accounts.authenticate(session, token)


async def test_a_newcomer_is_logged_in_by_registering_and_can_log_in_again() -> None:
    token, user = await register("Zoë  Müller", "zoe@Example.com")
    assert (user.name, user.username, user.email) == ("Zoë Müller", "zoe-muller", "zoe@example.com")
    again, _ = await login("ZOE@example.COM")
    assert {(await whose(token)).id, (await whose(again)).id} == {user.id}
    assert again != token


async def test_the_token_holds_what_was_agreed_and_lasts_seven_days() -> None:
    token, user = await register("Ada", "ada@example.com")
    claims = jwt.decode(token, get_settings().jwt_secret.get_secret_value(), algorithms=["HS256"])
    assert set(claims) == {"userId", "username", "jti", "iat", "exp"}
    assert (claims["userId"], claims["username"]) == (str(user.id), "ada")
    assert claims["exp"] - claims["iat"] == 7 * 24 * 3600


async def test_the_password_is_kept_as_bcrypt_alone() -> None:
    _, user = await register("Ada", "ada@example.com")
    async with db.transaction() as session:
        digest = await session.scalar(select(User.password_hash).where(User.id == user.id))
    assert digest is not None
    assert digest.startswith("$2b$")
    assert PASSWORD not in digest


async def test_one_email_has_one_account_however_it_is_spelt() -> None:
    await register("Ada", "ada@example.com")
    with pytest.raises(Conflict, match="exists already"):
        await register("Other", "ADA@example.com")


async def test_people_of_one_name_are_told_apart() -> None:
    names = [(await register("Ada", f"a{n}@example.com"))[1].username for n in range(3)]
    assert names == ["ada", "ada-2", "ada-3"]


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("email", ("Ada", "no-address", PASSWORD)),
        ("password", ("Ada", "ada@example.com", "short")),
        ("password", ("Ada", "ada@example.com", "é" * 37)),
        ("password", ("Ada", "ada@example.com", "nul\0nul\0nul")),
        ("name", (" \t ", "ada@example.com", PASSWORD)),
        ("name", ("Ada\0", "ada@example.com", PASSWORD)),
    ],
)
async def test_what_cannot_be_an_account_names_its_field(field: str, values: tuple[str, str, str]) -> None:
    with pytest.raises(Invalid) as refused:
        await register(*values)
    assert set(refused.value.fields) == {field}


async def test_a_wrong_password_and_an_unknown_email_are_answered_alike() -> None:
    await register("Ada", "ada@example.com")
    said = set()
    for email, password in (
        ("ada@example.com", "wrong password"),
        ("nobody@example.com", PASSWORD),
        ("\0", "\ud800" * 9),
        ("\ud800", PASSWORD),
    ):
        with pytest.raises(NotSignedIn) as refused:
            await login(email, password)
        said.add(str(refused.value))
    assert len(said) == 1


async def test_an_unknown_email_takes_as_long_as_a_wrong_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openlinear.passwords.COST", 10)
    await register("Ada", "ada@example.com")
    took: dict[str, list[float]] = {"ada@example.com": [], "nobody@example.com": []}
    for _ in range(4):
        for email, times in took.items():
            begun = time.perf_counter()
            with pytest.raises(NotSignedIn):
                await login(email, "wrong password")
            times.append(time.perf_counter() - begun)
    known, unknown = (min(times[1:]) for times in took.values())
    assert 0.5 < unknown / known < 2.0


async def test_a_login_ends_when_it_is_logged_out_and_others_go_on(ada: Actor) -> None:
    first, _ = await login(ada.email)
    second, _ = await login(ada.email)
    async with db.transaction() as session:
        await accounts.logout(session, await accounts.authenticate(session, first))
    with pytest.raises(NotSignedIn):
        await whose(first)
    assert (await whose(second)).id == ada.id


async def test_tokens_that_are_forged_or_over_are_refused(ada: Actor) -> None:
    secret = get_settings().jwt_secret.get_secret_value()
    claims = {"userId": str(ada.id), "username": "ada", "jti": str(ada.session_id), "iat": 1}
    future = int(time.time()) + 3600
    forged = [
        "nonsense",
        "",
        jwt.encode({**claims, "exp": future}, "another secret of the right length, too", "HS256"),
        jwt.encode({**claims, "exp": future}, "", "none"),
        jwt.encode({**claims, "exp": 2}, secret, "HS256"),
        jwt.encode(claims, secret, "HS256"),
        jwt.encode({**claims, "exp": future, "jti": str(uuid4())}, secret, "HS256"),
        jwt.encode({**claims, "exp": future, "jti": "x"}, secret, "HS256"),
        jwt.encode({**claims, "exp": future, "userId": str(uuid4())}, secret, "HS256"),
    ]
    for token in forged:
        with pytest.raises(NotSignedIn):
            await whose(token)
    assert (await whose(jwt.encode({**claims, "exp": future}, secret, "HS256"))).id == ada.id


async def test_a_login_whose_row_is_over_is_over(make_actor: MakeActor) -> None:
    actor = await make_actor()
    token, _ = await login(actor.email)
    session_id = (await whose(token)).session_id
    async with db.transaction() as session:
        row = await session.get_one(AuthSession, session_id)
        row.expires_at = row.created_at
    with pytest.raises(NotSignedIn):
        await whose(token)


async def test_guessing_one_account_is_stopped_and_a_success_begins_anew(
    product: Workerless, ada: Actor
) -> None:
    tries = get_settings().login_tries_per_account
    for _ in range(tries - 1):
        with pytest.raises(NotSignedIn):
            await login(ada.email, "wrong password")
    await login(ada.email)
    for _ in range(tries):
        with pytest.raises(NotSignedIn):
            await login(ada.email, "wrong password")
    with pytest.raises(TooMany) as refused:
        await login(ada.email)
    assert 0 < refused.value.retry_after <= 15 * 60 + 1


async def test_an_address_may_try_and_register_so_often_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGIN_TRIES_PER_ADDRESS", "3")
    monkeypatch.setenv("REGISTRATIONS_PER_ADDRESS", "2")
    get_settings.cache_clear()
    for n in range(3):
        with pytest.raises(NotSignedIn):
            await login(f"nobody{n}@example.com", address="203.0.113.9")
    with pytest.raises(TooMany):
        await login("nobody@example.com", address="203.0.113.9")
    for n in range(2):
        await register("Ada", f"a{n}@example.com", address="203.0.113.9")
    with pytest.raises(TooMany):
        await register("Ada", "a3@example.com", address="203.0.113.9")
    await register("Ada", "a3@example.com", address="203.0.113.10")


async def test_the_pages_of_a_login_that_runs_out_are_left_and_told(
    make_actor: MakeActor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LOGINS_EVERY", 0.01)
    ada, bo, project = await make_actor(), await make_actor("Bo"), uuid4()
    namespace, hub = Namespace(), Hub()
    hub.attach(SimpleNamespace(event_namespace=namespace))  # type: ignore[arg-type]
    await hub.join("ada", ada, project, None)
    await hub.join("bo", bo, project, None)
    watching = asyncio.create_task(hub.watch_logins())
    await asyncio.sleep(0.1)
    assert namespace.sent == []
    async with db.transaction() as session:
        (await session.get_one(AuthSession, ada.session_id)).expires_at = now() - timedelta(seconds=1)
    async with asyncio.timeout(5):
        while not namespace.sent:
            await asyncio.sleep(0.01)
    watching.cancel()
    assert namespace.sent == [("ada", {LiveState.get_full_name(): {"ended": True}})]
    assert namespace.rooms == {"ada": set(), "bo": {f"room:{project}"}}
