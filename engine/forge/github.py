"""Pull requests on GitHub, or on a GitHub Enterprise server."""

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

from engine.errors import Class, RunError
from engine.git.command import plain
from engine.git.remote import parse
from engine.ports import Credential, PullRequest
from engine.settings import EngineSettings

_TIMEOUT = httpx.Timeout(20.0, connect=10.0)
_TITLE_LIMIT, _BODY_LIMIT = 256, 65_000  # GitHub's own, in characters


class GitHub:
    """A `Forge`. Tokens go to the API's exact address alone: no redirect is followed."""

    def __init__(self, settings: EngineSettings) -> None:
        self._allow_local = settings.allow_local_remotes
        self._origin = _origin(settings.github_url)
        self._name = urlsplit(settings.github_url).hostname or "GitHub"
        self._api = settings.github_api_url.rstrip("/")

    def hosts(self, clone_url: str) -> bool:
        """Whether the URL is on the exact host of GITHUB_URL, by https unless local remotes are allowed."""
        try:
            remote = parse(clone_url, allow_local=self._allow_local)
        except RunError:
            return False
        return _origin(remote.url) == self._origin

    async def open_pull_request(
        self, clone_url: str, credential: Credential, *, head: str, base: str, title: str, body: str
    ) -> PullRequest:
        """The open pull request from branch `head` into `base`: a new one, or the one there already.

        RunError says what GitHub objects to, and the cure.
        """
        owner, repository = self._repository(clone_url)
        route = f"/repos/{owner}/{repository}/pulls"
        fields = {
            "title": _fit(plain(title, limit=10_000).replace("\n", " ") or head, _TITLE_LIMIT),
            "body": _fit(body, _BODY_LIMIT),
            "head": head,
            "base": base,
        }
        async with self._client(credential) as client:
            created = await self._send(client, "POST", route, credential, json=fields)
            if created.status_code == 201:
                return self._pull_request(_json(created))
            if not _exists_already(created):
                raise self._refusal(created, credential)
            query = {"head": f"{owner}:{head}", "base": base, "state": "open"}
            found = await self._send(client, "GET", route, credential, params=query)
            if found.status_code != 200:
                raise self._refusal(found, credential)
            listed = _json(found)
            if not isinstance(listed, list) or not listed:
                raise self._refusal(created, credential)
            return self._pull_request(listed[0])

    def _repository(self, clone_url: str) -> tuple[str, str]:
        parts = urlsplit(clone_url).path.strip("/").removesuffix(".git").split("/")
        if not self.hosts(clone_url) or len(parts) != 2 or not all(parts):
            raise RunError(
                f"The clone URL names no repository of {self._name}. Use https://{self._name}/owner/repository.",
                "remote",
            )
        return parts[0], parts[1]

    def _client(self, credential: Credential) -> httpx.AsyncClient:
        headers = {
            "Authorization": f"Bearer {credential.password}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
            "User-Agent": "OpenLinear",
        }
        try:
            return httpx.AsyncClient(
                base_url=self._api, headers=headers, timeout=_TIMEOUT, follow_redirects=False
            )
        except UnicodeEncodeError:  # from None: the cause would quote the token
            raise self._bad_token(credential) from None

    async def _send(
        self, client: httpx.AsyncClient, method: str, route: str, credential: Credential, **content: Any
    ) -> httpx.Response:
        try:
            return await client.request(method, route, **content)
        except httpx.TimeoutException as error:
            raise RunError(
                f"{self._name} did not answer in time. Run the task again later.",
                "network",
            ) from error
        except httpx.LocalProtocolError:  # a header of impossible characters; the cause would quote it
            raise self._bad_token(credential) from None
        except httpx.HTTPError as error:
            raise RunError(
                f"{self._name} cannot be reached ({type(error).__name__}). Check GITHUB_API_URL.",
                "network",
            ) from error

    def _refusal(self, answer: httpx.Response, credential: Credential) -> RunError:
        kind: Class
        status, name, wait = answer.status_code, self._name, _wait_seconds(answer.headers)
        words = plain(_words(answer), credential.password)
        if status == 401:
            return self._bad_token(credential)
        if status in (403, 429) and wait is not None:
            kind, reason = "rate_limit", f"asks to wait {wait} seconds: too many requests with this token."
        elif status == 403:
            cure = "The token needs the repo scope, or write access to pull requests."
            kind, reason = "authentication", f"refused the pull request: {words}. {cure}"
        elif status == 404:
            kind, reason = "authentication", "does not show this repository to the token. Give it access."
        elif 300 <= status < 400:
            kind, reason = (
                "remote",
                "says the repository has moved. Put its new address into the project.",
            )
        elif status >= 500:
            kind, reason = "overload", f"has a problem of its own (it answered {status}). Try again later."
        else:
            kind, reason = "invalid_request", f"refused the pull request: {words}."
        return RunError(f"{name} {reason}", kind)

    def _bad_token(self, credential: Credential) -> RunError:
        return RunError(
            f"{self._name} did not accept the token: it is wrong, expired or revoked. {credential.cure}",
            "authentication",
        )

    def _pull_request(self, answer: Any) -> PullRequest:
        match answer:
            case {"number": int(number), "html_url": str(url)} if url.startswith(("https://", "http://")):
                return PullRequest(number, url)
        raise RunError(
            f"{self._name} answered something that is no pull request. Check GITHUB_API_URL.", "overload"
        )


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"https": 443, "http": 80}.get(parts.scheme)


def _fit(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None


def _words(answer: httpx.Response) -> str:
    """What GitHub says is wrong: its message, and that of each error."""
    content = _json(answer)
    if not isinstance(content, dict):
        return f"it answered {answer.status_code}"
    said = [content.get("message")]
    errors = content.get("errors")
    for error in errors if isinstance(errors, list) else []:
        if isinstance(error, dict):
            said.append(
                error.get("message") or " ".join(str(error.get(key, "")) for key in ("field", "code"))
            )
        else:
            said.append(error)
    return "; ".join(str(part).strip(" .") for part in said if part)


def _exists_already(answer: httpx.Response) -> bool:
    return answer.status_code == 422 and "already exists" in _words(answer)


def _wait_seconds(headers: Mapping[str, str]) -> int | None:
    """How long GitHub asks to wait, when it does."""
    if headers.get("retry-after", "").isdecimal():
        return int(headers["retry-after"])
    if headers.get("x-ratelimit-remaining") == "0" and headers.get("x-ratelimit-reset", "").isdecimal():
        return max(1, int(headers["x-ratelimit-reset"]) - int(time.time()))
    return None
