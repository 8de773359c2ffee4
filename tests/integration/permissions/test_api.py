"""Every operation of the API, called by everybody on everything.

Whoever may not learns nothing: what is not theirs to see is answered byte for byte, and with the very same
questions to the database, as what does not exist. And nothing is written.
"""

from collections.abc import Mapping

import httpx
import pytest

from openlinear.api.app import create_api
from tests.integration.permissions.api_entries import ENTRIES
from tests.integration.permissions.evidence import evidence
from tests.integration.permissions.matrix import filled, normalized
from tests.integration.permissions.walk import Call, Seen, told, walk
from tests.integration.permissions.world import World


def test_every_operation_has_an_entry_and_every_entry_an_operation() -> None:
    paths = create_api().openapi()["paths"]
    there = {(method.upper(), normalized(path)) for path, methods in paths.items() for method in methods}
    listed = {entry.operation for entry in ENTRIES}
    assert there - listed == set(), "give these a line in api_entries.py"
    assert listed - there == set(), "these are gone: take their lines out of api_entries.py"


async def test_nobody_does_or_learns_what_is_not_theirs(
    api: httpx.AsyncClient, world: World, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def perform(call: Call, ids: Mapping[str, str]) -> Seen:
        entry = call.entry
        person = world.people.get(call.role)
        headers = {"Authorization": f"Bearer {person.token}"} if person else {}
        body = filled(entry.body, ids)
        answer = await api.request(entry.method, filled(entry.url, ids), json=body, headers=headers)
        api.cookies.clear()
        sent = f"{sorted(answer.headers.items())} {answer.text}"
        return Seen(str(answer.status_code), sent)

    async with evidence(database) as kept:
        made, wrong = await walk(world, kept, ENTRIES, perform)
    with capsys.disabled():
        print(told("operations", len({entry.operation for entry in ENTRIES}), made, world))
    assert not wrong, "\n".join(["", *wrong])
