"""New passwords, by the old one, by mail and by the command line, on a real PostgreSQL and mail server."""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import aiosmtplib
import httpx
import pytest
from sqlalchemy import select
from sqlmodel import col

from openlinear import db, mail, passwords
from openlinear.models import OneTimeLink, User
from openlinear.models.columns import now
from openlinear.services import accounts, resets, tokens
from openlinear.services.errors import Conflict, Forbidden, Invalid, NotFound, NotSignedIn, TooMany
from openlinear.services.views import Actor
from openlinear.settings import Settings
from tests.support.mailserver import Mailbox
from tests.support.people import bearing, following, log_in
from tests.support.product import PASSWORD, PUBLIC_URL, MakeActor

pytestmark = pytest.mark.usefixtures("product")
Api = httpx.AsyncClient
NEW = "a quite new password"


async def link_for(email: str) -> str:
    """What is in a new link."""
    async with db.transaction() as session:
        return (await resets.link(session, email)).rpartition("#")[2]


async def reset(token: str, password: str = NEW) -> None:
    async with db.transaction() as session:
        await resets.reset(session, token, password, address="a")


async def test_a_change_ends_all_but_the_login_that_made_it(served: str, ada: Actor) -> None:
    here, there = await log_in(ada.email), await log_in(ada.email)
    async with db.transaction() as session:
        program = await tokens.make(session, ada, "CI", "write")
    body = {"currentPassword": PASSWORD, "newPassword": NEW}
    async with (
        httpx.AsyncClient(base_url=served) as client,
        following(served, here) as mine,
        following(served, there) as other,
        following(served, program.token) as programs,
    ):
        answer = await client.post("/api/account/password", json=body, headers=bearing(here))
        assert answer.json() == {"ended": 3}
        async with asyncio.timeout(10):
            await asyncio.gather(other, programs)
        assert not mine.done()
        for token, status in ((here, 200), (there, 401), (program.token, 401)):
            assert (await client.get("/api/auth/me", headers=bearing(token))).status_code == status
    with pytest.raises(NotSignedIn):
        await log_in(ada.email)
    await log_in(ada.email, NEW)


async def test_a_change_wants_the_current_password_and_a_good_new_one(api: Api, ada: Actor) -> None:
    login = bearing(await log_in(ada.email))
    for current, new, wrong in (("wrong", NEW, "currentPassword"), (PASSWORD, "short", "newPassword")):
        body = {"currentPassword": current, "newPassword": new}
        answer = await api.post("/api/account/password", json=body, headers=login)
        assert answer.status_code == 422
        assert [one["field"] for one in answer.json()["errors"]] == [wrong]
        assert current not in answer.text or current == "wrong"
    await log_in(ada.email)
    with pytest.raises(TooMany):
        for _ in range(resets.TRIES + 1):
            async with db.transaction() as session:
                with pytest.raises(Invalid):
                    await resets.change(session, ada, "wrong", NEW)


async def test_no_connection_is_held_while_passwords_are_hashed(
    api: Api, ada: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That takes long, in a queue: the rest of the server goes on meanwhile."""
    held = []

    def counting(work: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def counted(*given: Any) -> Any:
            held.append(db.engine().pool.checkedout())  # type: ignore[attr-defined]
            return await work(*given)

        return counted

    token = await link_for(ada.email)
    for name in ("matches", "hash_password"):
        monkeypatch.setattr(passwords, name, counting(getattr(passwords, name)))
    for path, body in {
        "/api/auth/register": {"name": "Bo", "email": "bo@example.com", "password": PASSWORD},
        "/api/auth/login": {"email": ada.email, "password": PASSWORD},
        "/api/auth/reset": {"token": token, "newPassword": PASSWORD},
    }.items():
        assert (await api.post(path, json=body)).is_success
        api.cookies.clear()
    login = bearing(await log_in(ada.email))
    body = {"currentPassword": PASSWORD, "newPassword": NEW}
    assert (await api.post("/api/account/password", json=body, headers=login)).is_success
    assert held == [0] * 6


async def test_an_account_without_a_password_gets_its_first_by_a_link(ada: Actor) -> None:
    async with db.transaction() as session:
        (await session.get_one(User, ada.id)).password_hash = None
    async with db.transaction() as session:
        with pytest.raises(Conflict, match="link"):
            await resets.change(session, ada, "", NEW)
    await reset(await link_for(ada.email))
    await log_in(ada.email, NEW)


async def test_a_login_that_was_under_way_does_not_outlive_the_change(
    ada: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old password was right when it was compared."""
    compared, go_on = asyncio.Event(), asyncio.Event()
    matches = accounts.passwords.matches

    async def slowly(password: str, digest: str | None) -> bool:
        found = await matches(password, digest)
        compared.set()
        await go_on.wait()
        return found

    token = await link_for(ada.email)
    with monkeypatch.context() as slow:
        slow.setattr(accounts.passwords, "matches", slowly)
        late = asyncio.create_task(log_in(ada.email))
        await compared.wait()
    await reset(token)
    go_on.set()
    with pytest.raises(NotSignedIn):
        await late


async def test_a_link_comes_by_mail_and_works_once(api: Api, ada: Actor, mailbox: Mailbox) -> None:
    before = await log_in(ada.email)
    assert (await api.get("/api/auth/registration")).json()["mail"] is True
    answer = await api.post("/api/auth/forgot", json={"email": ada.email.upper()})
    assert answer.status_code == 202
    to, text = await mailbox.letter()
    assert to == ada.email
    assert "disconnected" in text
    found = re.search(rf"^{re.escape(PUBLIC_URL)}/reset#([\w-]+)$", text, re.MULTILINE)
    assert found is not None
    weak = await api.post("/api/auth/reset", json={"token": found[1], "newPassword": "short"})
    assert weak.status_code == 422
    body = {"token": found[1], "newPassword": NEW}
    assert (await api.post("/api/auth/reset", json=body)).status_code == 204
    assert (await api.get("/api/auth/me", headers=bearing(before))).status_code == 401
    await log_in(ada.email, NEW)
    again = await api.post("/api/auth/reset", json=body)
    assert again.status_code == 403
    assert "Ask for a new one" in again.json()["detail"]


async def test_nothing_tells_whether_an_email_has_an_account(api: Api, ada: Actor, mailbox: Mailbox) -> None:
    took: dict[str, list[float]] = {ada.email: [], "nobody@example.com": []}
    said = set()
    for _ in range(resets.MAILS):
        for email, times in took.items():
            begun = time.perf_counter()
            answer = await api.post("/api/auth/forgot", json={"email": email})
            times.append(time.perf_counter() - begun)
            said.add((answer.status_code, answer.text))
    for email in took:
        answer = await api.post("/api/auth/forgot", json={"email": email})
        assert answer.status_code == 429
    assert len(said) == 1
    known, unknown = (min(times) for times in took.values())
    assert 0.2 < unknown / known < 5.0
    await mailbox.letter(resets.MAILS)
    while resets._under_way:
        await asyncio.wait(resets._under_way)
    assert {to for to, _ in mailbox.letters} == {ada.email}


async def test_the_answer_does_not_wait_for_the_mail_server(
    api: Api, ada: Actor, mailbox: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    mailbox.refuse = "550 no"
    with caplog.at_level(logging.INFO):
        assert (await api.post("/api/auth/forgot", json={"email": ada.email})).status_code == 202
        while resets._under_way:
            await asyncio.wait(resets._under_way)
    ours = " ".join(one.getMessage() for one in caplog.records if one.name.startswith("openlinear"))
    assert "the mail server does not take mail" in ours
    assert "reset#" not in ours
    assert ada.email not in ours


async def test_without_a_mail_server_it_says_who_helps(api: Api, ada: Actor) -> None:
    answers = [
        await api.post("/api/auth/forgot", json={"email": email}) for email in (ada.email, "no@example.com")
    ]
    assert {one.status_code for one in answers} == {409}
    assert answers[0].text == answers[1].text
    assert "openlinear reset-password" in answers[0].text


async def test_a_link_is_kept_as_a_digest_ends_and_goes_with_the_next_password(ada: Actor) -> None:
    first, second = await link_for(ada.email), await link_for(ada.email)
    async with db.transaction() as session:
        rows = list(await session.scalars(select(OneTimeLink)))
    assert all(token not in str(row.model_dump()) for token in (first, second) for row in rows)
    assert all(timedelta(minutes=29) < row.expires_at - now() <= timedelta(hours=1) for row in rows)
    await reset(first)
    with pytest.raises(Forbidden):
        await reset(second)
    third = await link_for(ada.email)
    async with db.transaction() as session:
        row = await session.scalar(select(OneTimeLink).where(col(OneTimeLink.user_id) == ada.id))
        assert row is not None
        row.expires_at = now()
    with pytest.raises(Forbidden):
        await reset(third)


async def test_of_two_who_have_a_link_one_sets_the_password(ada: Actor) -> None:
    token = await link_for(ada.email)
    ends = await asyncio.gather(
        reset(token, "password one"), reset(token, "password two"), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in ends) == ["Forbidden", "NoneType"]
    assert isinstance(await log_in(ada.email, "password one" if ends[0] is None else "password two"), str)


async def test_an_invitation_is_no_link_to_a_password(ada: Actor, make_actor: MakeActor) -> None:
    from openlinear.services import links

    async with db.transaction() as session:
        token, _ = await links.make(session, "invitation", timedelta(days=1))
    with pytest.raises(Forbidden):
        await reset(token)
    with pytest.raises(NotFound):
        await link_for("nobody@example.com")


@pytest.mark.parametrize(
    ("url", "sender"),
    [
        ("http://mail.example.com", "a@example.com"),
        ("smtp://", "a@example.com"),
        ("smtps://mail.example.com", ""),
    ],
)
def test_a_mail_server_that_cannot_be_one_is_refused_at_the_start(url: str, sender: str) -> None:
    with pytest.raises(ValueError, match="SMTP_"):
        Settings(smtp_url=url, smtp_from=sender)  # type: ignore[arg-type]


async def test_mail_goes_to_another_machine_by_tls_alone(
    ada: Actor, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This server has none: it is told neither the password nor the letter."""
    monkeypatch.setattr(mail, "loopback", lambda host: False)
    with pytest.raises(aiosmtplib.SMTPException, match="STARTTLS"):
        await mail.send(ada.email, "Subject", "Text")
    assert (mailbox.letters, mailbox.logins) == ([], 0)
