"""Every operation of the API, called by everybody on everything.

Whoever may not learns nothing: what is not theirs to see is answered byte for byte, and with the very same
questions to the database, as what does not exist. And nothing is written.
"""

from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from openlinear.api.app import OURS, create_api
from tests.integration.permissions.api_entries import ENTRIES
from tests.integration.permissions.evidence import evidence
from tests.integration.permissions.matrix import MIXED, OPEN, STREAM, UNFIT, filled, normalized
from tests.integration.permissions.walk import Call, Seen, calls, plain, told, walk
from tests.integration.permissions.world import World


def test_every_operation_has_an_entry_and_every_entry_an_operation() -> None:
    paths = create_api().openapi()["paths"]
    there = {(method.upper(), normalized(path)) for path, methods in paths.items() for method in methods}
    listed = {entry.operation for entry in ENTRIES}
    assert there - listed == set(), "give these a line in api_entries.py"
    assert listed - there == set(), "these are gone: take their lines out of api_entries.py"


def test_no_route_hides_from_the_document() -> None:
    api = create_api()
    paths = {normalized(str(route.path)) for route in iter_route_contexts(api.routes)}
    documented = {normalized(path) for path in api.openapi()["paths"]}
    assert paths - documented == {"/api/openapi.json", "/metrics", *map(normalized, OURS)} - documented


async def test_a_token_that_may_read_shows_its_owners_things_and_changes_nothing(
    world: World, api: httpx.AsyncClient, database: str
) -> None:
    headers = {"Authorization": f"Bearer {world.things['personal']['reading']}"}
    wrong = []
    await api.get("/api/auth/me", headers=headers)  # that it was used is written every few minutes
    async with evidence(database) as kept:
        for call in calls(world, ENTRIES):
            entry = call.entry
            if call.role != "owner" or call.outcome != "done" or entry.rule in (OPEN, STREAM):
                continue
            url, body = filled(entry.url, call.ids), filled(entry.body, call.ids)
            answer = await api.request(entry.method, url, json=body, headers=headers)
            own = entry.url.startswith("/api/account/")
            if not str(answer.status_code).startswith(entry.ok if entry.reads and not own else "403"):
                wrong.append(f"{entry}: {answer.status_code} {answer.text[:200]}")
            if written := await kept.written():
                wrong.append(f"{entry}: writes {written}")
    assert not wrong, "\n".join(["", *wrong])


ODD: tuple[Any, ...] = (None, [], {}, {"name": "", "title": "", "role": "x", "limits": {"dollars": -1}})
"""Bodies that few operations take."""


async def ask(api: httpx.AsyncClient, world: World, call: Call, url: str, body: Any) -> Seen:
    person = world.people.get(call.role)
    headers = {"Authorization": f"Bearer {person.token}"} if person else {}
    given = {} if body is None else {"json": body}
    answer = await api.request(call.entry.method, url, headers=headers, **given)
    api.cookies.clear()
    lasting = sorted(header for header in answer.headers.items() if not header[0].startswith("ratelimit"))
    return Seen(str(answer.status_code), f"{lasting} {answer.text}")


@pytest.mark.usefixtures("one_connection")
async def test_nobody_does_or_learns_what_is_not_theirs(
    world: World, api: httpx.AsyncClient, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def perform(call: Call, ids: Mapping[str, str]) -> Seen:
        return await ask(api, world, call, filled(call.entry.url, ids), filled(call.entry.body, ids))

    async with evidence(database) as kept:
        made, wrong = await walk(world, kept, ENTRIES, perform)
    with capsys.disabled():
        print(told("operations", len({entry.operation for entry in ENTRIES}), made, world))
    assert not wrong, "\n".join(["", *wrong])


async def test_what_is_wrong_with_a_call_is_told_alike_whether_its_object_exists_or_not(
    world: World, api: httpx.AsyncClient, database: str
) -> None:
    """What is refused for its form is refused before anything is looked for, or after; alike in any case."""
    wrong: dict[str, None] = {}
    async with evidence(database) as kept:
        for call in calls(world, ENTRIES):
            entry = call.entry
            if entry.reads or call.role != "stranger" or "{" not in entry.url or entry.rule in (MIXED, UNFIT):
                continue
            for body in ODD:
                answers = [
                    plain(await ask(api, world, call, filled(entry.url, ids), body), ids)
                    for ids in (call.ids, call.twin)
                ]
                if answers[0] != answers[1] or await kept.written():
                    wrong[
                        f"{entry.call} ({call.kind}) with {body}: {answers[0][:300]}, {answers[1][:300]}"
                    ] = None
    assert not wrong, "\n".join(["", *wrong])
