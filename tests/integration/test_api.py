"""The HTTP interface on a real PostgreSQL: its contract, its errors, and who gets in."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from engine.client import RemoteFound
from engine.models import Worker
from openlinear import db
from openlinear.api.app import create_api
from openlinear.services import accounts
from openlinear.services.views import Actor
from tests.support.product import PASSWORD, PUBLIC_URL, Workerless

Api = httpx.AsyncClient
OURS = {"Origin": PUBLIC_URL}
THEIRS = {"Origin": "https://evil.example"}
URL = "https://example.com/acme/cart.git"


async def bearer(actor: Actor) -> dict[str, str]:
    """Headers of a fresh login of this person."""
    async with db.transaction() as session:
        token, _ = await accounts.login(session, actor.email, PASSWORD, address="test")
    return {"Authorization": f"Bearer {token}"}


async def newcomer(api: Api, **headers: str) -> httpx.Response:
    body = {"name": "Ada", "email": "ada@example.com", "password": PASSWORD}
    return await api.post("/api/auth/register", json=body, headers=headers)


def is_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail"} <= set(problem)
    assert problem["status"] == status
    return problem


async def test_register_login_me_logout(api: Api) -> None:
    made = await newcomer(api)
    assert made.status_code == 201
    user = made.json()["user"]
    assert set(user) == {"id", "name", "username", "email", "avatarUrl", "githubId"}
    cookie = made.headers["set-cookie"]
    assert cookie.startswith("openlinear_session=")
    assert {"HttpOnly", "SameSite=lax", "Path=/", "Max-Age=604800"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    api.cookies.clear()
    assert is_problem(await newcomer(api), 409)["title"] == "Conflict"

    answer = await api.post("/api/auth/login", json={"email": "ADA@example.com", "password": PASSWORD})
    assert answer.status_code == 200
    headers = {"Authorization": f"Bearer {answer.json()['token']}"}
    api.cookies.clear()
    assert (await api.get("/api/auth/me", headers=headers)).json() == user
    assert (await api.post("/api/auth/logout", headers=headers)).status_code == 204
    is_problem(await api.get("/api/auth/me", headers=headers), 401)


async def test_the_cookie_is_secure_behind_https(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBLIC_URL", "https://board.test")
    from openlinear.settings import get_settings

    get_settings.cache_clear()
    assert "Secure" in (await newcomer(api)).headers["set-cookie"].split("; ")


async def test_the_cookie_counts_for_our_own_pages_alone(api: Api) -> None:
    assert (await newcomer(api)).status_code == 201
    label = {"name": "Bug"}
    assert (await api.get("/api/auth/me")).status_code == 200
    assert (await api.post("/api/labels", json=label, headers=OURS)).status_code == 201
    for headers in (
        THEIRS,
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Origin": PUBLIC_URL + ".evil.example"},
        # A name that leads here only because its owner says so.
        {"Origin": "http://evil.example:3001", "Host": "evil.example:3001"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        is_problem(await api.post("/api/labels", json=label, headers=headers), 403)
    is_problem(await api.get("/api/auth/me", headers=THEIRS), 403)
    assert len((await api.get("/api/labels")).json()["items"]) == 1


async def test_other_origins_get_no_cookie_and_no_credentials(api: Api) -> None:
    is_problem(await newcomer(api, **THEIRS), 403)
    rebound = {"Origin": "http://evil.example:3001", "Host": "evil.example:3001"}
    is_problem(await newcomer(api, **rebound), 403)
    made = await newcomer(api, Origin="http://localhost:3000")
    assert made.status_code == 201
    assert "set-cookie" not in made.headers
    assert made.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert "access-control-allow-credentials" not in made.headers
    asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    preflight = await api.options("/api/tasks", headers={**asked, "Origin": "http://localhost:3000"})
    assert preflight.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert "access-control-allow-credentials" not in preflight.headers
    preflight = await api.options("/api/tasks", headers={**asked, **THEIRS})
    assert "access-control-allow-origin" not in preflight.headers


async def test_every_kind_of_error_is_a_problem(
    api: Api, ada: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = await bearer(ada)
    is_problem(await api.get("/api/nothing"), 404)
    is_problem(await api.post("/api/nothing/at/all", content=b"x"), 404)
    is_problem(refused := await api.delete("/api/auth/login"), 405)
    assert refused.headers["allow"] == "POST"
    is_problem(await api.put(f"/api/tasks/{uuid4()}", headers=headers), 405)
    is_problem(await api.get("/api/tasks"), 401)
    is_problem(await api.get(f"/api/tasks/{uuid4()}", headers=headers), 404)
    is_problem(await api.get(f"/api/tasks?projectId={uuid4()}", headers=headers), 404)
    is_problem(await api.get("/api/tasks/no-id", headers=headers), 422)
    is_problem(await api.post("/api/labels", content=b"{", headers=headers), 422)
    big = await api.post("/api/labels", json={"name": "x" * (1 << 20)}, headers=headers)
    is_problem(big, 413)

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * (1 << 16)

    is_problem(await api.post("/api/labels", content=endless(), headers=headers), 413)

    async def broken(*args: object) -> None:
        raise RuntimeError("a secret of ours")

    monkeypatch.setattr("openlinear.services.labels.list_labels", broken)
    problem = is_problem(await api.get("/api/labels", headers=headers), 500)
    assert "secret" not in str(problem)


async def test_refused_fields_are_named_and_what_was_sent_is_not_repeated(api: Api, ada: Actor) -> None:
    headers = await bearer(ada)
    body: dict[str, Any] = {"name": 7, "email": "ada@example.com", "password": ["hunter2-secret"]}
    problem = is_problem(await api.post("/api/auth/register", json=body), 422)
    assert [error["field"] for error in problem["errors"]] == ["name", "password"]
    assert "hunter2" not in str(problem)
    for field, given in (
        ("title", {"title": "x" * 10_000}),
        ("title", {"title": "nul\0"}),
        ("priority", {"title": "x", "priority": "highest"}),
        ("dueDate", {"title": "x", "dueDate": "soon"}),
        ("dueDate", {"title": "x", "dueDate": 0}),
        ("projectId", {"title": "x", "projectId": "no-id"}),
    ):
        task = {"projectId": str(uuid4()), **given}
        problem = is_problem(await api.post("/api/tasks", json=task, headers=headers), 422)
        assert [error["field"] for error in problem["errors"]] == [field]
    half = b'{"projectId": "%s", "title": "half \\ud83d"}' % str(uuid4()).encode()
    answer = await api.post(
        "/api/tasks", content=half, headers={**headers, "Content-Type": "application/json"}
    )
    is_problem(answer, 422)
    problem = is_problem(await api.get("/api/tasks/no-id", headers=headers), 422)
    assert [error["field"] for error in problem["errors"]] == ["taskId"]
    for query in ("limit=0", "limit=201", "cursor=x", "status=x", "projectId=x", "label=%00", "q=%00"):
        is_problem(await api.get(f"/api/tasks?{query}", headers=headers), 422)


async def test_too_many_tries_say_when_to_come_back(
    api: Api, ada: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGIN_TRIES_PER_ACCOUNT", "2")
    from openlinear.settings import get_settings

    get_settings.cache_clear()
    body = {"email": ada.email, "password": "wrong password"}
    answers = await asyncio.gather(*(api.post("/api/auth/login", json=body) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [401, 401, 429, 429, 429, 429]
    refused = is_problem(next(answer for answer in answers if answer.status_code == 429), 429)
    assert "minutes" in refused["detail"]
    assert 0 < int(answers[[a.status_code for a in answers].index(429)].headers["retry-after"]) <= 901


async def test_a_project_and_its_tasks_from_making_to_removing(
    product: Workerless, api: Api, ada: Actor
) -> None:
    api.headers.update(await bearer(ada))
    wanted = {"name": "Cart", "cloneUrl": URL, "remoteUsername": "bot", "remotePassword": "s3cret-token"}
    made = await api.post("/api/projects", json=wanted)
    assert made.status_code == 201
    assert "s3cret" not in made.text
    project = made.json()
    assert (project["defaultBranch"], project["hasCredential"]) == ("main", True)
    path = f"/api/projects/{project['id']}"
    assert (await api.patch(path, json={"name": "Cart 2"})).json()["name"] == "Cart 2"
    assert (await api.get("/api/projects")).json() == {
        "items": [(await api.get(path)).json()],
        "nextCursor": None,
    }
    await api.post("/api/labels", json={"name": "Bug", "color": "red"})
    task = {"projectId": project["id"], "title": "Fix", "labels": ["bug"], "dueDate": "2030-01-02"}
    made = await api.post("/api/tasks", json=task)
    assert made.status_code == 201
    card = made.json()
    assert (card["identifier"], card["status"], card["executionStatus"]) == ("CART-1", "todo", None)
    assert ([label["name"] for label in card["labels"]], card["dueDate"]) == (["Bug"], "2030-01-02")
    changed = await api.patch(f"/api/tasks/{card['id']}", json={"dueDate": None, "labels": [], "title": None})
    assert (changed.json()["dueDate"], changed.json()["labels"], changed.json()["title"]) == (None, [], "Fix")
    found = await api.get("/api/tasks", params={"projectId": project["id"], "status": "todo", "q": "fix"})
    assert [item["id"] for item in found.json()["items"]] == [card["id"]]
    assert (await api.delete(f"/api/tasks/{card['id']}")).status_code == 204
    is_problem(await api.get(f"/api/tasks/{card['id']}"), 404)
    assert (await api.delete(path)).status_code == 204
    is_problem(await api.get(path), 404)


async def test_a_remote_that_refuses_is_the_clone_urls_error(
    product: Workerless, api: Api, ada: Actor
) -> None:
    api.headers.update(await bearer(ada))
    product.remote = RemoteFound(None, (), "It needs a login. Give a user name and a token.")
    problem = is_problem(await api.post("/api/projects", json={"name": "Cart", "cloneUrl": URL}), 422)
    assert problem["errors"] == [{"field": "cloneUrl", "detail": product.remote.error}]
    product.remote = None
    is_problem(await api.post("/api/projects", json={"name": "Cart", "cloneUrl": URL}), 503)


async def test_times_are_in_utc_though_the_database_speaks_in_another_zone(
    product: Workerless, api: Api, ada: Actor
) -> None:
    api.headers.update(await bearer(ada))
    async with db.transaction() as session:
        name = await session.scalar(text("SELECT current_database()"))
        await session.execute(text(f"ALTER DATABASE {name} SET timezone TO 'Asia/Kolkata'"))
    await db.close()  # what is connected keeps the zone that it began with
    demo = (await api.post("/api/demo")).json()
    task = (await api.get(f"/api/tasks/{demo['tasks'][0]['id']}")).json()
    assert {task["createdAt"][-1], task["updatedAt"][-1], demo["project"]["createdAt"][-1]} == {"Z"}
    begun = datetime.fromisoformat(task["createdAt"])
    assert abs(begun - datetime.now(UTC)) < timedelta(minutes=5)
    shown = (await api.get("/api/account/sessions")).json()["items"][0]
    assert (shown["createdAt"][-1], shown["usedAt"][-1], shown["expiresAt"][-1]) == ("Z", "Z", "Z")


async def test_execute_and_cancel(api: Api, ada: Actor) -> None:
    api.headers.update(await bearer(ada))
    demo = (await api.post("/api/demo")).json()
    assert (await api.post("/api/demo")).json() == demo
    path = f"/api/tasks/{demo['tasks'][0]['id']}"
    is_problem(await api.post(f"{path}/cancel"), 409)
    started = await api.post(f"{path}/execute")
    assert started.status_code == 202
    assert UUID(started.json()["runId"])
    is_problem(await api.post(f"{path}/execute"), 409)
    card = (await api.get(path)).json()
    assert (card["status"], card["executionStatus"], card["executionProgress"]) == (
        "in_progress",
        "queued",
        0,
    )
    assert (card["branchName"], card["execution"]["branch"]) == (None, f"openlinear/{card['id']}")
    assert (await api.get(f"{path}/logs")).json() == {"items": [], "nextCursor": None}
    assert (await api.get(f"{path}/diff")).json() == {
        "runId": started.json()["runId"],
        "patch": "",
        "files": [],
    }
    for accept, answered in (
        ("application/json, text/plain, */*", "application/json"),
        ("text/plain", "text/plain; charset=utf-8"),
        ("text/x-diff, */*", "text/x-diff; charset=utf-8"),
    ):
        found = await api.get(f"{path}/diff", headers={"Accept": accept})
        assert found.headers["content-type"] == answered
        assert "Accept" in found.headers["vary"].split(", ")
    assert (await api.get(f"{path}/asks")).json()["items"] == []
    assert (await api.post(f"{path}/cancel")).status_code == 202


async def test_settings_have_defaults_and_bounds(api: Api, ada: Actor) -> None:
    api.headers.update(await bearer(ada))
    defaults = {
        "parallelLimit": 3,
        "maxBatchSize": 3,
        "autoApprove": False,
        "stopOnFailure": False,
        "conflictBehavior": "skip",
        "buildOnPrevious": False,
        "network": "listed",
        "networkHosts": [],
        "limits": dict.fromkeys(("wallSeconds", "idleSeconds", "tokens", "dollars", "attempts")),
    }
    assert (await api.get("/api/settings")).json() == defaults
    changed = await api.patch("/api/settings", json={"parallelLimit": 5, "autoApprove": True})
    assert changed.json() == {**defaults, "parallelLimit": 5, "autoApprove": True}
    changed = await api.patch("/api/settings", json={"conflictBehavior": "fail"})
    assert changed.json()["parallelLimit"] == 5
    for wrong in (
        {"parallelLimit": 0},
        {"parallelLimit": 1000},
        {"parallelLimit": True},
        {"conflictBehavior": "x"},
        {"network": "all"},
        {"networkHosts": ["*"]},
    ):
        is_problem(await api.patch("/api/settings", json=wrong), 422)


async def test_a_providers_key_goes_in_and_never_comes_out(api: Api, ada: Actor) -> None:
    from openlinear.adapters import product as engine_side

    api.headers.update(await bearer(ada))
    key = {"providerId": "anthropic", "apiKey": "sk-very-secret"}
    made = await api.post("/api/opencode/auth", json=key)
    assert made.status_code == 200
    listed = await api.get("/api/opencode/providers")
    assert "secret" not in made.text + listed.text
    assert listed.json()["items"][0]["connected"]
    (kept,) = await engine_side().provider_keys(ada.id)
    assert (kept.provider, kept.api_key) == ("anthropic", "sk-very-secret")
    assert "secret" not in repr(kept)
    gone = await api.request("DELETE", "/api/opencode/auth", json={"providerId": "anthropic"})
    assert gone.status_code == 204
    is_problem(await api.delete("/api/opencode/auth?providerId=anthropic"), 404)


async def test_a_provider_is_at_a_public_address(api: Api, ada: Actor) -> None:
    api.headers.update(await bearer(ada))
    own = {"providerId": "mine", "models": ["m1"]}
    for url in (
        "http://127.0.0.1:11434/v1",
        "https://127.1/v1",
        "https://0x7f000001/v1",
        "https://[::1]/v1",
        "https://[::ffff:10.0.0.1]/v1",
        "https://localhost/v1",
        "https://ollama/v1",
        "https://nas.lan/v1",
        "https://[64:ff9b::10.0.0.1]/v1",
        "https://[2002:7f00:1::]/v1",
        "https://\uff11\uff12\uff17.0.0.1/v1",
        "https://169.254.169.254/",
        "https://user:pw@models.example.com/v1",
        "file:///etc/passwd",
        "http://models.example.com/v1",
    ):
        problem = is_problem(await api.post("/api/opencode/auth", json={**own, "baseUrl": url}), 422)
        assert problem["errors"][0]["field"] == "baseUrl"


async def test_health_tells_of_the_database_and_the_engine(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = await api.get("/health")
    assert answer.status_code == 503
    assert (answer.json()["database"], answer.json()["engine"]) == ("ok", "away")
    async with db.transaction() as session:
        session.add(Worker(id="w1", name="main", version="1", sandbox="docker"))
    answer = await api.get("/health")
    assert answer.status_code == 200
    assert set(answer.json()) == {"status", "version", "database", "engine", "sandbox"}
    assert (answer.json()["status"], answer.json()["sandbox"]) == ("ok", "docker")


def routes() -> Iterator[tuple[str, str]]:
    """Every method and path that the OpenAPI document names."""
    for path, methods in create_api().openapi()["paths"].items():
        for method in methods:
            yield method.upper(), path


OPEN = {
    *(("POST", f"/api/auth/{what}") for what in ("register", "login", "forgot", "reset")),
    *(("GET", path) for path in ("/api/auth/registration", "/health")),
}
OPEN |= {("GET", f"/api/auth/{way}") for way in ("ways", "github", "oidc")}
OPEN |= {("GET", f"/api/auth/{way}/callback") for way in ("github", "oidc")}
OPEN |= {("POST", f"/api/auth/{way}") for way in ("github", "oidc")}
OF_SOMETHING = {"project_id", "task_id", "label_id", "ask_id", "team_id", "item_id"}


async def test_nothing_but_what_is_open_answers_without_a_login(api: Api) -> None:
    walked = 0
    for method, path in routes():
        if (method, path) not in OPEN:
            filled = path.replace("{", "").replace("}", "")
            for name in OF_SOMETHING:
                filled = filled.replace(name, str(uuid4()))
            is_problem(await api.request(method, filled, json={}), 401)
            walked += 1
    assert walked > 20
