"""Pull requests, against a stand-in that is held to GitHub's own description."""

import httpx
import pytest

from engine.errors import RunError
from engine.forge import github
from engine.forge.github import GitHub
from engine.ports import Credential
from engine.settings import EngineSettings
from tests.support.github import GITHUB_TOKEN, GitHubServer

CLONE_URL = "https://github.com/acme/shop.git"
OURS = Credential("oauth2", GITHUB_TOKEN)
TASK = {"head": "openlinear/a-task", "base": "main", "title": "Do it", "body": "What was done"}


@pytest.fixture
def forge(github_server: GitHubServer) -> GitHub:
    return GitHub(EngineSettings(github_api_url=github_server.url))


async def refused(forge: GitHub, token: str = GITHUB_TOKEN) -> RunError:
    with pytest.raises(RunError) as caught:
        await forge.open_pull_request(CLONE_URL, Credential("oauth2", token), **TASK)
    return caught.value


async def test_a_pull_request_is_opened(forge: GitHub, github_server: GitHubServer) -> None:
    pull = await forge.open_pull_request(CLONE_URL, OURS, **TASK)
    assert pull.number == 1
    assert pull.url.endswith("/acme/shop/pull/1")
    method, path, body = github_server.requests[0]
    assert (method, path) == ("POST", "/repos/acme/shop/pulls")
    assert body == TASK


async def test_the_one_that_exists_is_found_and_not_doubled(
    forge: GitHub, github_server: GitHubServer
) -> None:
    await forge.open_pull_request(CLONE_URL, OURS, **{**TASK, "head": "openlinear/another"})
    first = await forge.open_pull_request(CLONE_URL, OURS, **TASK)
    assert await forge.open_pull_request(CLONE_URL, OURS, **TASK) == first
    assert [pull["head"] for pull in github_server.pulls] == ["openlinear/another", "openlinear/a-task"]


async def test_a_long_title_and_body_are_fitted(forge: GitHub, github_server: GitHubServer) -> None:
    long = {**TASK, "title": "a\x00b\n" + "x" * 9_000, "body": "y" * 100_000}
    await forge.open_pull_request(CLONE_URL, OURS, **long)
    body = github_server.requests[0][2]
    assert len(body["title"]) == 256 and body["title"].startswith("a b x")
    assert len(body["body"]) == 65_000


@pytest.mark.parametrize(
    ("fault", "message", "headers", "kind", "words"),
    [
        (401, "Bad credentials", {}, "authentication", "wrong, expired or revoked"),
        (403, "Resource not accessible by personal access token", {}, "authentication", "repo scope"),
        (403, "Secondary rate limit", {"retry-after": "61"}, "rate_limit", "wait 61 seconds"),
        (404, "Not Found", {}, "authentication", "does not show this repository"),
        (422, "No commits between main and openlinear/a-task", {}, "invalid_request", "No commits between"),
        (429, "Slow down", {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"}, "rate_limit", "wait 1 "),
        (301, "Moved Permanently", {"location": "http://127.0.0.1:9/"}, "remote", "has moved"),
        (500, "Server Error", {}, "overload", "answered 500"),
        (503, "Unavailable", {}, "overload", "answered 503"),
    ],
)
async def test_each_refusal_says_why(
    forge: GitHub,
    github_server: GitHubServer,
    fault: int,
    message: str,
    headers: dict[str, str],
    kind: str,
    words: str,
) -> None:
    github_server.fault, github_server.fault_message = fault, message
    github_server.fault_headers = headers
    error = await refused(forge)
    assert error.kind == kind
    assert words in error.reason
    assert len(github_server.requests) == 1


async def test_a_wrong_token_is_named_and_not_quoted(forge: GitHub) -> None:
    error = await refused(forge, token="ghp_wrong")
    assert error.kind == "authentication"
    assert "ghp_wrong" not in repr(error) + error.reason


@pytest.mark.parametrize("token", ["line\nbreak", "ümlaut"])
async def test_a_token_that_no_header_takes_is_not_quoted(forge: GitHub, token: str) -> None:
    error = await refused(forge, token=token)
    assert error.kind == "authentication"
    assert error.__cause__ is None and token not in error.reason


async def test_a_token_that_is_echoed_is_scrubbed(forge: GitHub, github_server: GitHubServer) -> None:
    github_server.fault, github_server.fault_message = 422, f"no good: {GITHUB_TOKEN}\x1b[31m"
    error = await refused(forge)
    assert GITHUB_TOKEN not in error.reason and "\x1b" not in error.reason


async def test_no_answer_ends_in_time(
    forge: GitHub, github_server: GitHubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(github, "_TIMEOUT", httpx.Timeout(0.2))
    github_server.fault = "hang"
    error = await refused(forge)
    assert error.kind == "network" and "did not answer" in error.reason


async def test_nobody_there_is_said() -> None:
    error = await refused(GitHub(EngineSettings(github_api_url="http://127.0.0.1:9")))
    assert error.kind == "network" and "cannot be reached" in error.reason


async def test_an_answer_that_makes_no_sense(forge: GitHub, github_server: GitHubServer) -> None:
    github_server.fault = "garbage"
    assert (await refused(forge)).kind == "overload"


@pytest.mark.parametrize(
    ("url", "ours"),
    [
        ("https://github.com/acme/shop.git", True),
        ("https://GitHub.com:443/acme/shop", True),
        ("http://github.com/acme/shop.git", False),
        ("https://github.com:8443/acme/shop.git", False),
        ("https://gist.github.com/acme/shop.git", False),
        ("https://github.com.example.com/acme/shop.git", False),
        ("https://github.com@example.com/acme/shop.git", False),
        ("git@github.com:acme/shop.git", False),
        ("demo:5b1e7c1e-6b0f-4b8e-9a55-0d5a0d2f6b7a", False),
    ],
)
def test_only_the_exact_host_is_github(url: str, ours: bool) -> None:
    assert GitHub(EngineSettings()).hosts(url) is ours


async def test_what_is_no_repository_is_refused(forge: GitHub) -> None:
    with pytest.raises(RunError, match="names no repository"):
        await forge.open_pull_request("https://github.com/acme/shop/tree", OURS, **TASK)
