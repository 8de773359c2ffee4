"""GitHub: signing in with it, and what its REST API says of a person and their repositories."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

from openlinear.outside import oauth
from openlinear.outside.http import Answer, Away, ask
from openlinear.outside.provider import Challenge, Grant, Profile, ProviderId, Trouble
from openlinear.settings import Settings

SCOPE = "read:user user:email repo"
PAGE = 100


class Revoked(Exception):
    """GitHub does not take this token: it has ended, or was revoked there."""


@dataclass(frozen=True, slots=True)
class Repository:
    """One of a person's. `pushed_at` is None where nothing was pushed yet."""

    name: str
    full_name: str
    private: bool
    clone_url: str
    default_branch: str
    pushed_at: datetime | None
    can_push: bool


class GitHub:
    """A `Provider`. Its access token is of use afterwards: for repositories and pull requests."""

    id: ProviderId = "github"
    name = "GitHub"
    keeps_token = True

    def __init__(self, settings: Settings) -> None:
        self._web = self.issuer = settings.github_url.rstrip("/")
        self._api = settings.github_api_url.rstrip("/")
        self._us = oauth.Registration(
            client_id=settings.github_client_id,
            client_secret=settings.github_client_secret.get_secret_value(),
            redirect_uri=settings.github_redirect_uri,
            scope=SCOPE,
        )

    async def authorize(self, challenge: Challenge) -> str:
        return oauth.authorize_url(self._us, f"{self._web}/login/oauth/authorize", challenge)

    async def redeem(self, code: str, challenge: Challenge) -> Grant:
        return await oauth.redeem(self._us, f"{self._web}/login/oauth/access_token", code, challenge)

    async def refresh(self, refresh_token: str) -> Grant:
        return await oauth.refresh(self._us, f"{self._web}/login/oauth/access_token", refresh_token)

    async def profile(self, grant: Grant, challenge: Challenge) -> Profile:
        try:
            user = await get(self._api, "/user", grant.access_token)
            emails = await get(self._api, "/user/emails", grant.access_token)
        except Revoked:
            raise Trouble("refused") from None
        except Away:
            raise Trouble("away") from None
        match user.content:
            case {"id": int(number), "login": str(login), **more} if user.status == 200:
                name, avatar = more.get("name"), more.get("avatar_url")
                return Profile(
                    subject=str(number),
                    login=login,
                    name=name if isinstance(name, str) and name.strip() else login,
                    email=_verified(emails),
                    avatar_url=avatar if isinstance(avatar, str) else None,
                )
        raise Trouble("answer")


async def repositories(api: str, token: str, page: int) -> list[Repository]:
    """A page of `PAGE`, what was pushed to last first; empty behind the last."""
    query = {"sort": "pushed", "direction": "desc", "per_page": str(PAGE), "page": str(page)}
    answer = await get(api, "/user/repos", token, query)
    if answer.status != 200 or not isinstance(answer.content, list):
        raise Away(f"GitHub answered {answer.status} to the list of repositories")
    return [found for item in answer.content if (found := _repository(item)) is not None]


async def may_push(api: str, token: str, owner: str, name: str) -> bool:
    """Whether whoever holds this token may write to the repository, as GitHub says itself."""
    answer = await get(api, f"/repos/{quote(owner, safe='')}/{quote(name, safe='')}", token)
    match answer.content:
        case {"permissions": {"push": True}} if answer.status == 200:
            return True
    return False


async def get(api: str, path: str, token: str, query: Mapping[str, str] | None = None) -> Answer:
    """Ask the REST API as the holder of this token. Revoked when it is none any more."""
    answer = await ask("GET", api + path, headers=headers(token), params=query)
    if answer.status == 401:
        raise Revoked
    return answer


def headers(token: str) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {token}",
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
    }


def names_of(clone_url: str) -> tuple[str, str] | None:
    """Owner and name of the repository that a clone URL of GitHub's names."""
    parts = urlsplit(clone_url).path.strip("/").removesuffix(".git").split("/")
    return (parts[0], parts[1]) if len(parts) == 2 and all(parts) else None


def _verified(emails: Answer) -> str | None:
    """The primary address, if it is verified: what GitHub itself would write to."""
    for one in emails.content if isinstance(emails.content, list) else []:
        match one:
            case {"email": str(email), "primary": True, "verified": True} if emails.status == 200:
                return email
    return None


def _repository(item: Any) -> Repository | None:
    match item:
        case {"name": str(name), "full_name": str(full), "clone_url": str(url), **more}:
            pushed, rights = more.get("pushed_at"), more.get("permissions")
            return Repository(
                name=name,
                full_name=full,
                private=bool(more.get("private", True)),
                clone_url=url,
                default_branch=str(more.get("default_branch") or ""),
                pushed_at=_time(pushed) if isinstance(pushed, str) else None,
                can_push=isinstance(rights, dict) and rights.get("push") is True,
            )
    return None


def _time(said: str) -> datetime | None:
    try:
        return datetime.fromisoformat(said)
    except ValueError:
        return None
