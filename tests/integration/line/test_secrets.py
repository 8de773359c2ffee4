"""Known secrets of every kind, and everything the product writes while it uses them: they are nowhere in it.

What is expected to hold one is named in `EXPECTED`, so that the search itself is shown to work in each place.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest

from openlinear import vault
from openlinear.sealed import SEALED
from tests.support.aftermath import assert_done, cleared, container_of
from tests.support.backups import PASSPHRASE, openlinear, succeeds
from tests.support.gitserver import TOKEN
from tests.support.modelserver import Ask, Bash, Turn, Write
from tests.support.planted import Search, Watch
from tests.support.postgres import _fresh
from tests.support.stack import Json, Person, Stack, register, serve_stack

INSTALLATION = ("OPENLINEAR_SECRET_KEY", "JWT_SECRET", "METRICS_TOKEN", "GITHUB_CLIENT_SECRET")
UNUSED_KEY = "sk-planted/of+a=provider that no run uses"
WRONG_KEY = "sk-planted-and-refused-0987654321"
WRONG_PASSWORD = "planted/and+refused=password"
EMBEDDED_PASSWORD = "planted-in-a-clone-url"
HOME = "/home/opencode"
FILES = {"app.py": "print('hello')\n"}
EXPECTED = {
    # The one place where provider keys are in clear: their user's container, for the agent.
    ("key of a provider", "container auth.json"),
    ("key of an unused provider", "container auth.json"),
    ("key that is refused", "container auth.json"),
    # Shown once, to who made it.
    ("session token", "answer POST /api/auth/login"),
    ("access token", "answer POST /api/account/tokens"),
    ("invitation", "answer POST /api/teams/{}/members"),
    # The vault, opened.
    ("key of a provider", "vault provider"),
    ("key of an unused provider", "vault provider"),
    ("key that is refused", "vault provider"),
    ("password of a remote", "vault remote"),
}


@pytest.fixture
def own_stack(
    postgres_url: str, migrated_template: str, worker_image: str, tmp_path: Path
) -> Iterator[Stack]:
    given = {"METRICS_TOKEN": secrets.token_hex(32), "GITHUB_CLIENT_SECRET": secrets.token_hex(20)}
    for database in _fresh(postgres_url, migrated_template):
        with serve_stack(database, tmp_path, **given) as running:
            yield running


@pytest.fixture
def search(own_stack: Stack) -> Search:
    own_stack.model.key = "sk-" + secrets.token_hex(24)
    return Search(
        {
            **{name: own_stack.environment[name] for name in INSTALLATION},
            "key of a provider": own_stack.model.key,
            "key of an unused provider": UNUSED_KEY,
            "key that is refused": WRONG_KEY,
            "password of a remote": TOKEN,
            "password that is refused": WRONG_PASSWORD,
            "password in a clone URL": EMBEDDED_PASSWORD,
            "password": "correct horse battery",
            "passphrase of the key": PASSPHRASE,
        }
    )


@pytest.fixture
async def grace(own_stack: Stack, search: Search) -> AsyncIterator[Person]:
    """Somebody all of whose answers are searched; those that give out a token come before."""

    async def look(answer: httpx.Response) -> None:
        if answer.headers.get("content-type", "").startswith("text/event-stream"):
            return
        search.look(f"answer {_route(answer.request)}", await answer.aread() + str(answer.headers).encode())

    async with httpx.AsyncClient(base_url=own_stack.url, timeout=40) as http:
        person = await register(own_stack, http, "Grace Hopper", "grace@example.org")
        http.event_hooks["response"].append(look)
        body = {"email": person.email, "password": "correct horse battery"}
        token = (await http.post("/api/auth/login", json=body)).json()["token"]
        http.cookies.clear()
        http.headers["Authorization"] = f"Bearer {token}"
        _shown(search, "session token", token, "/api/auth/login")
        yield person


async def test_no_secret_is_anywhere_it_does_not_belong(
    own_stack: Stack, grace: Person, search: Search, tmp_path: Path
) -> None:
    watch = Watch(search)
    watch.roots = {process.pid for process in own_stack.processes.values()}
    with watch.watching():
        await _plant(grace, search)
        done = await _a_run(grace, search, watch)
        await _refusals(grace)
        await _commands(own_stack, search, tmp_path)
    await _ask_everything(grace, done, search)
    _container(grace, search)
    search.files(own_stack.home, apart=("secrets",))
    search.files(own_stack.logs)
    search.rows(own_stack.environment["DATABASE_URL"])
    _vault(own_stack, search)
    assert search.found - EXPECTED == set()
    assert EXPECTED - search.found == set()
    assert any("git" in command and "fetch" in command for command in watch.commands), watch.commands
    assert any("git" in command and "push" in command for command in watch.commands), watch.commands
    assert any("opencode" in command for command in watch.commands), watch.commands
    places = {
        "file",
        "objects",
        "table",
        "answer",
        "arguments",
        "environment",
        "docker",
        "container",
        "backup",
    }
    assert places <= {place for place, size in search.looked.items() if size}, search.looked


def _route(request: httpx.Request) -> str:
    parts = (
        "{}" if len(part) == 36 and part.count("-") == 4 else part for part in request.url.path.split("/")
    )
    return f"{request.method} {'/'.join(parts)}"


def _shown(search: Search, kind: str, secret: str, path: str) -> None:
    """It became known by an answer, which was looked at before: as if again."""
    search.know(kind, secret)
    search.look(f"answer POST {path}", secret)


async def _plant(person: Person, search: Search) -> None:
    await person.connect_model()
    await person.ask("POST", "/opencode/auth", body={"providerId": "anthropic", "apiKey": UNUSED_KEY})
    made = await person.ask(
        "POST", "/account/tokens", expect=201, body={"name": "ci", "scope": "write", "days": 1}
    )
    _shown(search, "access token", made["token"], "/api/account/tokens")
    team = await person.ask("POST", "/teams", expect=201, body={"name": "Crew", "key": "CREW"})
    link = await person.ask("POST", f"/teams/{team['id']}/members", expect=201, body={})
    _shown(search, "invitation", link["token"], "/api/teams/{}/members")


async def _a_run(person: Person, search: Search, watch: Watch) -> Json:
    """A task from its clone to its pull request, with a look into the container while it is at work."""
    script = person.stack.model.script(
        "planted",
        Turn("", [Bash("env; git config --list --show-origin; git remote -v; cat .git/config; git log -1")]),
        Turn("", [Write("hello.txt", "hello\n")]),
        Turn("", [Ask("Go on?", ("Yes", "No"))]),
        Turn("Done."),
    )
    repo = person.stack.git.create("planted/project", FILES)
    task = await person.task(await person.project(repo, name="Planted"), f"Greet {script}")
    await person.execute(task)
    await person.until(task, lambda now: now["executionStatus"] == "waiting")
    watch.roots |= {_pid(person)}
    _container(person, search)
    search.files(person.stack.home, apart=("secrets",))
    asks = (await person.ask("GET", f"/tasks/{task['id']}/asks"))["items"]
    await person.ask(
        "POST", f"/tasks/{task['id']}/asks/{asks[0]['id']}", expect=202, body={"answers": [["Yes"]]}
    )
    done = await assert_done(person, task)
    assert done["prUrl"]
    return done


async def _refusals(person: Person) -> None:
    """What is refused is quoted often: a wrong key, a wrong password, a password in a URL."""
    repo = person.stack.git.create("planted/refused", FILES)
    body = {"name": "Refused", "cloneUrl": repo.url, "remoteUsername": "ada"}
    await person.ask("POST", "/projects", expect=422, body={**body, "remotePassword": WRONG_PASSWORD})
    embedded = repo.url.replace("://", f"://ada:{EMBEDDED_PASSWORD}@")
    await person.ask("POST", "/projects", expect=422, body={**body, "cloneUrl": embedded})
    await person.http.post("/api/auth/login", json={"email": person.email, "password": WRONG_PASSWORD})
    await person.connect_model(WRONG_KEY)
    task = await person.task(await person.project(repo, name="Refused key"), "Fails")
    run = await person.execute(task)
    ended = await person.ended(task)
    assert ended["executionStatus"] == "failed"
    await cleared(person, run)
    await person.ask("POST", "/opencode/auth", body={"providerId": "other", **_endpoint(person, WRONG_KEY)})
    await person.connect_model()
    # With the sandbox that the failed run's is followed by: it gets every key that is connected.
    tried = await person.ask("POST", "/opencode/auth/test", body={"providerId": "scripted"})
    assert tried["works"], tried


def _endpoint(person: Person, key: str) -> Json:
    model = person.stack.model
    url = f"http://host.docker.internal:{model.port}/v1"
    return {"apiKey": key, "baseUrl": url, "models": [model.model]}


async def _commands(stack: Stack, search: Search, folder: Path) -> None:
    """What the commands write, and say."""
    said = await asyncio.to_thread(succeeds, stack.environment, "backup", folder / "backup", "--with-mirrors")
    said += await asyncio.to_thread(succeeds, stack.environment, "key", "export", folder / "key")
    for options in ([], ["--json"], ["--network"]):
        told = await asyncio.to_thread(openlinear, stack.environment, "doctor", *options)
        said += told.stdout + told.stderr
    search.look("said by commands", said)
    search.look("said in the key file", (folder / "key").read_bytes())
    search.backup(folder / "backup")


async def _ask_everything(person: Person, done: Json, search: Search) -> None:
    """Every answer that can be had by GET, the stream from its start, and what else is served."""
    http = person.http
    document = (await http.get("/api/openapi.json")).json()
    names = {"task_id": done["id"], "project_id": done["projectId"], "run_id": done["execution"]["runId"]}
    paths = [path for path, methods in document["paths"].items() if "get" in methods]
    asked = 0
    for path in paths:
        with suppress(KeyError):
            if not path.endswith("/events"):
                answer = await http.get(path.format(**names))
                asked += answer.status_code == 200
    assert asked > 15
    for path in ("/", "/health", "/sign-in"):
        await http.get(path)
    headers = {"Authorization": f"Bearer {person.stack.environment['METRICS_TOKEN']}"}
    assert (await http.get("/metrics", headers=headers)).status_code == 200
    search.look("answer GET /api/events", await _stream(http))


async def _stream(http: httpx.AsyncClient) -> bytes:
    got = b""
    with suppress(TimeoutError):
        async with (
            asyncio.timeout(3),
            http.stream("GET", "/api/events", headers={"Last-Event-ID": "0"}) as stream,
        ):
            async for piece in stream.aiter_bytes():
                got += piece
    assert b"execution:log" in got
    return got


def _pid(person: Person) -> int:
    client = docker.from_env()
    try:
        return int(client.containers.get(container_of(person)).attrs["State"]["Pid"])
    finally:
        client.close()


def _container(person: Person, search: Search) -> None:
    """Its description, log and files, and the volumes' and networks' descriptions."""
    client: Any = docker.from_env(timeout=60)
    try:
        container = client.containers.get(container_of(person))
        search.look("docker inspect", json.dumps(container.attrs))
        search.look("docker logs", container.logs())
        label = {"label": [f"installation={person.stack.environment['INSTALLATION']}"]}
        things: list[Any] = [*client.volumes.list(filters=label), *client.networks.list(filters=label)]
        search.look("docker things", json.dumps([thing.attrs for thing in things]))
        search.look("docker image", json.dumps([container.image.attrs, container.image.history()]))
        for folder in ("$HOME", "/tmp", "/etc"):
            command = ["sh", "-c", f"tar cf - --exclude=node_modules -C {folder} . 2>/dev/null"]
            pieces = container.exec_run(command, stream=True, demux=True).output
            data = b"".join(out for out, _ in pieces if out)
            search.archive("container", data)
    finally:
        client.close()
    search.found = {
        (kind, "container auth.json" if where.endswith("/opencode/auth.json") else where)
        for kind, where in search.found
    }


def _vault(stack: Stack, search: Search) -> None:
    """Everything sealed, opened: what is looked for really went through the product."""
    keys = vault._keys
    for column in SEALED:
        rows = stack.rows(f"SELECT {column.column} FROM {column.table} WHERE {column.column} IS NOT NULL")
        box = keys(stack.environment["OPENLINEAR_SECRET_KEY"], column.purpose)
        for (sealed,) in rows:
            search.look(f"vault {column.purpose}", box.decrypt(sealed.encode()))
