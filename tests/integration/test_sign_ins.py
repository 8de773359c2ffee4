"""Accounts at model providers: whose they are, and which of two renewals stays."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import update

from engine.client import SignInFound
from engine.enqueue import EngineAway
from engine.errors import RunError
from openlinear import db
from openlinear.adapters import product as engine_side
from openlinear.models import ProviderSignIn
from openlinear.models.columns import now
from openlinear.services import accounts, providers, sign_ins
from openlinear.services.errors import Conflict, Invalid, NotFound, Unavailable
from openlinear.services.views import Actor
from tests.integration.permissions.pages import handlers, pages
from tests.support.product import PASSWORD, MakeActor, Workerless


def _entry(token: str, expires: int) -> dict[str, object]:
    return {"type": "oauth", "access": token, "refresh": "r", "expires": expires}


async def _token(actor: Actor) -> str | None:
    keys = await engine_side().provider_keys(actor.id)
    return next((str(key.account["access"]) for key in keys if key.account), None)


async def test_of_two_renewals_the_later_one_stays_whichever_comes_first(ada: Actor) -> None:
    engine = engine_side()
    await engine.keep_account(ada.id, "anthropic", _entry("renewed", 9), new=False)
    assert await _token(ada) is None  # nobody signed in
    await engine.keep_account(ada.id, "anthropic", _entry("first", 1), new=True)
    await engine.keep_account(ada.id, "anthropic", _entry("late", 3), new=False)
    await engine.keep_account(ada.id, "anthropic", _entry("early", 2), new=False)
    assert await _token(ada) == "late"
    await engine.keep_account(ada.id, "anthropic", _entry("signed in anew", 1), new=True)
    assert await _token(ada) == "signed in anew"


async def test_a_key_takes_the_accounts_place_and_a_late_renewal_does_not_bring_it_back(ada: Actor) -> None:
    engine = engine_side()
    await engine.keep_account(ada.id, "anthropic", _entry("first", 1), new=True)
    async with db.transaction() as session:
        view = await providers.connect(session, ada, "anthropic", "sk-new")
    assert view.by == "key"
    await engine.keep_account(ada.id, "anthropic", _entry("late", 3), new=False)
    assert await _token(ada) is None


async def test_a_sign_in_is_its_users_and_ends(
    ada: Actor, make_actor: MakeActor, product: Workerless, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def page(*_: object) -> SignInFound:
        return SignInFound("https://example.org", "code", "")

    monkeypatch.setattr(product, "begin_sign_in", page)
    await sign_ins.begin(ada, "anthropic")
    with pytest.raises(Conflict):
        await sign_ins.end(await make_actor("Eve"), "anthropic", "a code")
    with pytest.raises(RunError, match="not begun"):
        await engine_side().sign_in_code(ada.id, "anthropic")  # no code was brought yet
    await sign_ins.begin(ada, "anthropic", 1)
    with pytest.raises(Conflict, match="another of this provider's ways"):
        await sign_ins.end(ada, "anthropic", "a code", 0)
    with pytest.raises(Invalid, match="did not let you in"):
        await sign_ins.end(ada, "anthropic", "a code", 1)
    await sign_ins.begin(ada, "anthropic")
    async with db.transaction() as session:
        await session.execute(update(ProviderSignIn).values(began_at=now() - timedelta(minutes=16)))
    with pytest.raises(Conflict):
        await sign_ins.end(ada, "anthropic", "a code")


async def test_while_a_sign_in_is_under_way_the_providers_hosts_are_let_through(
    ada: Actor, product: Workerless
) -> None:
    assert (await engine_side().egress(ada.id)).providers == ()
    await sign_ins.begin(ada, "openai")
    assert (await engine_side().egress(ada.id)).providers == ("openai",)
    with pytest.raises(Invalid):
        await sign_ins.end(ada, "openai", "refused here")
    assert (await engine_side().egress(ada.id)).providers == ()


async def test_inputs_reach_the_engine_sealed_and_are_not_kept(
    ada: Actor, product: Workerless, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[dict[str, str]] = []
    answer = SignInFound("https://example.org", "code", "", way=1)

    async def page(user_id: UUID, provider: str, method: int | None) -> SignInFound:
        async with db.transaction() as session:
            row = await session.get_one(ProviderSignIn, (user_id, provider))
        assert row.code_secret is None or "a-secret" not in row.code_secret
        fetched.append(dict(await engine_side().sign_in_inputs(user_id, provider)))
        return answer

    monkeypatch.setattr(product, "begin_sign_in", page)
    await sign_ins.begin(ada, "openai", inputs={"instance": "a-secret"})
    assert await engine_side().sign_in_inputs(ada.id, "openai") == {}
    await sign_ins.begin(ada, "openai")
    assert fetched == [{"instance": "a-secret"}, {}]
    async with db.transaction() as session:
        assert (await session.get_one(ProviderSignIn, (ada.id, "openai"))).method == 1
    for wrong in ({"x": "y" * 1025}, {"x": "a\nb"}, {str(number): "" for number in range(21)}):
        with pytest.raises(Invalid):
            await sign_ins.begin(ada, "openai", inputs=wrong)
    answer = SignInFound("", "", "", "The provider did not answer.")
    with pytest.raises(Invalid, match="did not answer"):
        await sign_ins.begin(ada, "openai")
    with pytest.raises(Conflict):
        await sign_ins.end(ada, "openai", "a code")


async def test_nobody_signs_in_where_there_are_no_accounts(ada: Actor) -> None:
    with pytest.raises(Invalid, match="no accounts to sign in with"):
        await sign_ins.begin(ada, "somewhere")


async def test_an_engine_that_is_away_at_the_end_says_to_begin_again(
    ada: Actor, product: Workerless, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> str:
        raise EngineAway

    await sign_ins.begin(ada, "openai")
    monkeypatch.setattr(product, "end_sign_in", away)
    with pytest.raises(Unavailable, match="begin to sign in again"):
        await sign_ins.end(ada, "openai", "a code")


async def test_a_sign_in_that_failed_leaves_a_page_to_begin_anew_on(
    product: Workerless, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with db.transaction() as session:
        token, _ = await accounts.register(session, "Ada", "ada@example.com", PASSWORD, address="test")
    known = handlers()
    async with pages(monkeypatch) as site:
        tab = await site.connect(token)

        async def page(name: str, payload: dict[str, object]) -> tuple[str, str, str, str]:
            await site.event(tab, known[f"ProvidersState.{name}"][0], payload, "/settings")
            values = await site.values(tab)
            state = known["ProvidersState.load"][0].rpartition(".")[0]
            shown = ("choice", "sign_in_url", "connect_error", "signing_in")
            return tuple(values[f"{state}.{one}"] for one in shown)

        await page("load", {})
        await page("choose", {"provider": "openai"})
        opened = ("'openai'", "'https://openai.example.org/sign-in'", "''", "False")
        assert await page("begin_sign_in", {}) == opened
        assert await page("load", {}) == opened, "reading the page again changes no sign-in under way"
        failed = await page("end_sign_in", {"data": {"code": "c"}})
        assert failed == ("'openai'", "''", "'The provider did not let you in.'", "False")
        assert await page("begin_sign_in", {}) == opened


async def test_only_what_is_connected_is_tried(ada: Actor) -> None:
    with pytest.raises(NotFound):
        await sign_ins.try_out(ada, "anthropic")
