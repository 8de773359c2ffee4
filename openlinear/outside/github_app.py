"""A GitHub App: tokens for one repository, of an hour's life, made when they are used."""

import time
from dataclasses import dataclass, field
from urllib.parse import quote

import jwt

from openlinear.outside.github import headers
from openlinear.outside.http import Away, ask
from openlinear.settings import Settings

PERMISSIONS = {"contents": "write", "metadata": "read", "pull_requests": "write"}
LIFE = 540
"""Seconds that our proof of being the app holds; GitHub allows 600."""
SKEW = 60


@dataclass(frozen=True, slots=True)
class App:
    id: str
    key: str = field(repr=False)
    """Its private key, PEM."""
    api: str

    async def token(self, owner: str, name: str) -> str | None:
        """A token for this repository alone; None where the app is not installed for it.

        Away when GitHub does not answer, or refuses the app itself.
        """
        proof = headers(self._proof())
        route = f"{self.api}/repos/{quote(owner, safe='')}/{quote(name, safe='')}/installation"
        found = await ask("GET", route, headers=proof)
        match found.status, found.content:
            case 404, _:
                return None
            case 200, {"id": int(installation)}:
                pass
            case status, _:
                raise Away(f"GitHub answered {status} about the app's installation")
        made = await ask(
            "POST",
            f"{self.api}/app/installations/{installation}/access_tokens",
            headers=proof,
            body={"repositories": [name], "permissions": PERMISSIONS},
        )
        match made.status, made.content:
            case 201, {"token": str(token)}:
                return token
            case status, _:
                raise Away(f"GitHub answered {status} to the app's request for a token")

    def _proof(self) -> str:
        now = int(time.time())
        claims = {"iss": self.id, "iat": now - SKEW, "exp": now + LIFE}
        try:
            return jwt.encode(claims, self.key, algorithm="RS256")
        except (jwt.PyJWTError, ValueError, TypeError):  # from None: the cause would quote the key
            raise Away("GITHUB_APP_PRIVATE_KEY is no RSA key in PEM") from None


def configured(settings: Settings) -> App | None:
    """The app that this server is set up for. Away when its key's file cannot be read."""
    if not settings.github_app_id:
        return None
    try:
        key = settings.github_app_key()
    except OSError as error:
        raise Away(f"GITHUB_APP_PRIVATE_KEY_FILE cannot be read ({type(error).__name__})") from None
    return App(settings.github_app_id, key, settings.github_api_url.rstrip("/")) if key else None
