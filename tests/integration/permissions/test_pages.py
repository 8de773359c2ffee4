"""Every event handler of the pages, called by everybody on everything, as test_api.py does it."""

from collections.abc import Mapping

import pytest

from openlinear.openlinear import app
from tests.integration.permissions.evidence import evidence
from tests.integration.permissions.matrix import filled
from tests.integration.permissions.page_entries import ENTRIES
from tests.integration.permissions.pages import REGISTRY, handlers, pages, payload_of
from tests.integration.permissions.walk import Call, Seen, told, walk
from tests.integration.permissions.world import Role, World


def test_every_handler_has_an_entry_and_every_entry_a_handler() -> None:
    there = {name for name in handlers() if not name.endswith(".setvar")}
    listed = {entry.name for entry in ENTRIES}
    assert there - listed == set(), "give these a line in page_entries.py"
    assert listed - there == set(), "these are gone: take their lines out of page_entries.py"


def test_reflex_serves_nothing_else() -> None:
    """No upload, above all: it would name a tab and a handler in its headers."""
    assert {route.path for route in app._api.routes} == {"/ping", "/_health", "/_event"}


@pytest.mark.usefixtures("one_connection")
async def test_nobody_does_or_learns_what_is_not_theirs(
    world: World, database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = handlers()
    async with pages(monkeypatch) as site, evidence(database) as kept:

        async def perform(call: Call, ids: Mapping[str, str]) -> Seen:
            entry = call.entry
            name, registered = known[entry.name]
            person = world.people.get(call.role)
            sid = await site.connect(person.token if person else "")
            await site.holds(sid, registered.states[0], filled(entry.holds, ids))
            payload = payload_of(registered, filled(entry.args, ids))
            await site.event(sid, name, payload, filled(entry.at, ids))
            sent = site.told(sid).replace(sid, "{sid}")
            await site.leave(sid)
            return Seen(site.status(), sent)

        made, wrong = await walk(world, kept, ENTRIES, perform)
    with capsys.disabled():
        print(told("event handlers", len({entry.name for entry in ENTRIES}), made, world))
    assert not wrong, "\n".join(["", *wrong])


async def test_no_browser_sets_a_variable(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = world.people["owner"]
    at = filled("/p/{project_id}/t/{task_id}", world.things["team"])
    known = handlers()
    async with pages(monkeypatch) as site:
        tab = await site.connect(owner.token)
        await site.event(tab, known["State.hydrate_and_load"][0], {"vars": {}, "hashes": []}, at)
        before = await site.values(tab)
        assert len(before) > 100
        update, _ = known["UpdateVarsInternalState.update_vars_internal"]
        await site.event(tab, update, {"vars": dict.fromkeys(before, "forged")}, at)
        for name in before:
            state, _, variable = name.rpartition(".")
            if f"{state}.set_{variable}" in REGISTRY.event_handlers:
                continue  # a handler of ours, with a line in the matrix
            await site.event(tab, f"{state}.setvar", {"var_name": variable, "value": "forged"}, at)
        assert await site.values(tab) == before


@pytest.mark.parametrize("role", ["nobody", "stranger", "member"])
async def test_what_a_tab_holds_is_for_the_login_it_was_opened_with(
    world: World, monkeypatch: pytest.MonkeyPatch, role: Role
) -> None:
    """A browser keeps its tab's name when somebody else signs in. So does whoever comes by it."""
    at = filled("/p/{project_id}/t/{task_id}", world.things["personal"])
    known = handlers()
    person = world.people.get(role)
    async with pages(monkeypatch) as site:
        tab = await site.connect(world.people["owner"].token)
        await site.event(tab, known["State.hydrate_and_load"][0], {"vars": {}, "hashes": []}, at)
        assert "canary.personal." in site.told(tab)
        await site.leave(tab, forgotten=False)
        for name, payload in (("hydrate", {}), ("hydrate_and_load", {"vars": {}, "hashes": []})):
            sid = await site.connect(person.token if person else "", tab)
            await site.event(sid, known[f"State.{name}"][0], payload, "/login")
            shown = [one for one in world.hidden_from(role) if one in site.told(sid)]
            assert shown == []
            await site.leave(sid, forgotten=False)
