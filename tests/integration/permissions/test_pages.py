"""Every event handler of the pages, called by everybody on everything, as tests/…/test_api.py does it."""

from collections.abc import Mapping

import pytest

from tests.integration.permissions.evidence import evidence
from tests.integration.permissions.matrix import filled
from tests.integration.permissions.page_entries import ENTRIES
from tests.integration.permissions.pages import handlers, pages, payload_of
from tests.integration.permissions.walk import Call, Seen, told, walk
from tests.integration.permissions.world import World


def test_every_handler_has_an_entry_and_every_entry_a_handler() -> None:
    there = {name for name in handlers() if not name.endswith(".setvar")}
    listed = {entry.name for entry in ENTRIES}
    assert there - listed == set(), "give these a line in page_entries.py"
    assert listed - there == set(), "these are gone: take their lines out of page_entries.py"


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
