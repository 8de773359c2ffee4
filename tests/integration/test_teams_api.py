"""Teams over HTTP: every route as nobody, a stranger, a member, an admin and an owner."""

import functools
from typing import Any
from uuid import uuid4

import httpx
import pytest

from openlinear import db
from openlinear.api.app import create_api
from openlinear.services import execution, invitations, labels, projects
from tests.integration.test_api import bearer, is_problem
from tests.support.product import Workerless
from tests.support.teams import URL, Crew

TEAM, PROJECT = "/api/teams/{team}", "/api/projects/{project}"
TASK, LABEL = "/api/tasks/{task}", "/api/labels/{label}"
MEMBERS, INVITATIONS = TEAM + "/members", TEAM + "/invitations"
NEW_PROJECT = {"name": "Web", "cloneUrl": URL, "teamId": "{team}"}
NEW_TASK = {"projectId": "{project}", "title": "Do it"}
NEW_LABEL = {"name": "Bug", "teamId": "{team}"}
SECRET = {"remotePassword": "another"}
LIMITS = {"limits": {"dollars": 2.5}}

READ = (401, 404, 200, 200, 200)
MANAGE = (401, 404, 403, 200, 200)
MATRIX: list[tuple[str, str, Any, tuple[int, ...]]] = [
    # (method, path, body, what nobody, a stranger, a member, an admin and an owner get, in that order)
    ("GET", "/api/teams", None, (401, 200, 200, 200, 200)),
    ("POST", "/api/teams", {"name": "Another"}, (401, 201, 201, 201, 201)),
    ("POST", "/api/teams/join", {"token": "{token}"}, (401, 200, 200, 200, 200)),
    ("GET", TEAM, None, READ),
    ("PATCH", TEAM, {"name": "Renamed"}, MANAGE),
    ("PATCH", TEAM, LIMITS, MANAGE),
    ("DELETE", TEAM, None, (401, 404, 403, 403, 409)),
    ("GET", MEMBERS, None, READ),
    ("POST", MEMBERS, {}, (401, 404, 403, 201, 201)),
    ("PATCH", MEMBERS + "/{member}", {"role": "admin"}, MANAGE),
    ("PATCH", MEMBERS + "/{member}", {"role": "owner"}, (401, 404, 403, 403, 200)),
    ("PATCH", MEMBERS + "/{owner}", {"role": "member"}, (401, 404, 403, 403, 409)),
    ("PATCH", MEMBERS + "/{stranger}", {"role": "admin"}, (401, 404, 403, 404, 404)),
    ("DELETE", MEMBERS + "/{owner}", None, (401, 404, 403, 403, 409)),
    ("DELETE", MEMBERS + "/{admin}", None, (401, 404, 403, 204, 404)),
    ("DELETE", MEMBERS + "/{member}", None, (401, 404, 204, 404, 404)),
    ("DELETE", MEMBERS + "/{stranger}", None, (401, 404, 404, 404, 404)),
    ("GET", INVITATIONS, None, MANAGE),
    ("DELETE", INVITATIONS + "/{invitation}", None, (401, 404, 403, 204, 404)),
    ("GET", TEAM + "/audit", None, MANAGE),
    ("POST", "/api/projects", NEW_PROJECT, (401, 404, 403, 201, 201)),
    ("GET", PROJECT, None, READ),
    ("PATCH", PROJECT, {"name": "Renamed"}, MANAGE),
    ("PATCH", "/api/projects/{spare}", SECRET, MANAGE),
    ("PATCH", PROJECT, {"teamId": None}, (401, 404, 403, 409, 409)),
    ("DELETE", PROJECT, None, (401, 404, 403, 409, 409)),
    ("DELETE", "/api/projects/{spare}", None, (401, 404, 403, 204, 404)),
    ("POST", "/api/labels", {**NEW_LABEL}, (401, 404, 201, 409, 409)),
    ("GET", "/api/labels?teamId={team}", None, READ),
    ("PATCH", LABEL, {"color": "red"}, READ),
    ("DELETE", LABEL, None, (401, 404, 204, 404, 404)),
    ("POST", "/api/tasks", NEW_TASK, (401, 404, 201, 201, 201)),
    ("GET", TASK, None, READ),
    ("PATCH", TASK, {"title": "Better"}, READ),
    ("POST", TASK + "/execute", None, (401, 404, 409, 409, 409)),
    ("POST", TASK + "/cancel", None, (401, 404, 403, 202, 409)),
    ("GET", TASK + "/logs", None, READ),
    ("GET", TASK + "/diff", None, READ),
    ("GET", TASK + "/asks", None, READ),
    ("DELETE", "/api/tasks/{idle}", None, (401, 404, 204, 404, 404)),
]


async def names(crew: Crew) -> dict[str, str]:
    """What the paths and bodies above stand for. The admin executes the task."""
    task, idle = await crew.task(), await crew.task()
    spare = await projects.create_project(
        crew.owner, projects.ProjectInput("Spare", URL, team_id=crew.team.id)
    )
    async with db.transaction() as session:
        await execution.execute(session, crew.admin, task.id)
        label = await labels.create_label(session, crew.owner, "Feature", team_id=crew.team.id)
        made = await invitations.invite(session, crew.owner, crew.team.id, uses=9)
    people = {one: str(getattr(crew, one).id) for one in ("owner", "admin", "member", "stranger")}
    things = {"team": crew.team.id, "project": crew.project.id, "task": task.id, "idle": idle.id}
    things |= {"spare": spare.id, "label": label.id, "invitation": made.invitation.id}
    return {**people, **{name: str(ident) for name, ident in things.items()}, "token": made.token}


def filled(body: Any, known: dict[str, str]) -> Any:
    if isinstance(body, dict):
        return {name: filled(value, known) for name, value in body.items()}
    return known.get(body[1:-1], body) if isinstance(body, str) and body.startswith("{") else body


async def answers(api: httpx.AsyncClient, crew: Crew, method: str, url: str, given: Any) -> tuple[int, ...]:
    """What nobody, a stranger, a member, an admin and an owner get."""
    got = []
    for who in (None, crew.stranger, crew.member, crew.admin, crew.owner):
        headers = await bearer(who) if who else {}
        answer = await api.request(method, url, json=given, headers=headers)
        got.append(answer.status_code)
        if answer.status_code >= 400:
            is_problem(answer, answer.status_code)
            assert crew.team.name not in answer.text
    return tuple(got)


async def test_who_may_read_what(api: httpx.AsyncClient, crew: Crew) -> None:
    known = await names(crew)
    for method, path, _, wanted in MATRIX:
        if method == "GET":
            assert (path, await answers(api, crew, method, path.format(**known), None)) == (path, wanted)


@pytest.mark.parametrize(("method", "path", "body", "wanted"), [row for row in MATRIX if row[0] != "GET"])
async def test_who_may_do_what(
    api: httpx.AsyncClient, crew: Crew, method: str, path: str, body: Any, wanted: tuple[int, ...]
) -> None:
    known = await names(crew)
    assert await answers(api, crew, method, path.format(**known), filled(body, known)) == wanted


async def test_every_route_of_teams_is_in_the_matrix(product: Workerless) -> None:
    tested = {(method, path.partition("?")[0]) for method, path, _, _ in MATRIX}
    known = {"{team_id}": "{team}", "{user_id}": "{member}", "{invitation_id}": "{invitation}"}
    for path, methods in create_api().openapi()["paths"].items():
        named = functools.reduce(lambda text, one: text.replace(*one), known.items(), path)
        if named.startswith("/api/teams"):
            assert {(method.upper(), named) for method in methods} <= tested


async def test_what_is_not_there_and_what_one_may_not_see_answer_alike(
    api: httpx.AsyncClient, crew: Crew
) -> None:
    api.headers.update(await bearer(crew.stranger))
    for path in ("", "/members", "/invitations", "/audit"):
        there, nowhere = [await api.get(f"/api/teams/{one}{path}") for one in (crew.team.id, uuid4())]
        assert there.json() == nowhere.json()


async def test_the_shapes_of_a_team(api: httpx.AsyncClient, crew: Crew) -> None:
    api.headers.update(await bearer(crew.owner))
    none = dict.fromkeys(("wallSeconds", "idleSeconds", "tokens", "dollars", "attempts"))
    path = f"/api/teams/{crew.team.id}"
    team = (await api.patch(path, json=LIMITS)).json()
    assert team == {
        "id": str(crew.team.id),
        "name": "Core team",
        "key": "CORE",
        "role": "owner",
        "members": 3,
        "projects": 1,
        "limits": {**none, "dollars": 2.5},
        "createdAt": team["createdAt"],
    }
    assert (await api.get("/api/teams")).json() == {"items": [team], "nextCursor": None}
    found = (await api.get(path + "/members?limit=1")).json()
    assert found["nextCursor"]
    (first,) = found["items"]
    assert set(first) == {"userId", "name", "username", "avatarUrl", "role", "joinedAt"}
    assert (first["userId"], first["role"]) == (str(crew.owner.id), "owner")

    made = await api.post(path + "/members", json={"role": "admin", "days": 2, "uses": 3})
    link = made.json()
    assert (made.status_code, link["role"], link["usesLeft"]) == (201, "admin", 3)
    assert link["url"].endswith("/join/" + link["token"])
    assert link["token"] not in (await api.get(path + "/invitations")).text
    assert link["token"] not in (await api.get(path + "/audit")).text
    for wrong in ({"role": "owner"}, {"days": "7"}, {"uses": 1.5}, {"email": "someone@example.com"}):
        is_problem(await api.post(path + "/members", json=wrong), 422)
    is_problem(await api.post("/api/teams/join", json={"token": "x"}), 404)

    page = (await api.get(path + "/audit?limit=1")).json()
    assert page["nextCursor"]
    assert page["items"][0] == {
        "id": page["items"][0]["id"],
        "at": page["items"][0]["at"],
        "actorId": str(crew.owner.id),
        "actor": "Olga Owner",
        "action": "invitation:created",
        "subject": "admin",
        "details": {"days": 2, "uses": 3},
    }
    assert (await api.get("/api/audit")).json() == {"items": [], "nextCursor": None}
    await projects.create_project(crew.owner, projects.ProjectInput("Own", URL, remote_password="s3cret"))
    (entry,) = (await api.get("/api/audit")).json()["items"]
    assert (entry["action"], entry["subject"], entry["details"]) == ("project:created", "Own", {})
    assert (await api.get(f"/api/projects/{crew.project.id}")).json()["teamId"] == str(crew.team.id)
    label = (await api.post("/api/labels", json={"name": "Bug", "teamId": str(crew.team.id)})).json()
    assert label["teamId"] == str(crew.team.id)
