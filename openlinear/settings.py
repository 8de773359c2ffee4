"""The product's settings, from the environment."""

from functools import lru_cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from engine.settings import EngineSettings

Registration = Literal["open", "invitation", "closed"]
SECRET_BYTES = 32
WELL_KNOWN = (
    "secret",
    "changeme",
    "change-me",
    "change_me",
    "password",
    "default",
    "example",
    "your-",
    "your_",
)


class Settings(EngineSettings):
    """Read once per process, by `get_settings`."""

    jwt_secret: SecretStr = SecretStr("")
    """Signs session tokens; `openlinear up` generates one when it is empty."""
    api_host: str = "127.0.0.1"
    api_port: int = Field(3001, ge=1, le=65535)
    cors_origin: str = "http://localhost:3000"
    """An origin whose pages may call the API with a Bearer token; never with the cookie."""
    public_url: str = ""
    """The origin people open in their browser; its pages alone are ours, see `origins`."""
    trusted_proxies: str = "127.0.0.1,::1"
    """Addresses and networks, comma-separated, of the proxies whose `X-Forwarded-For` and `-Proto` count."""

    metrics_token: SecretStr = SecretStr("")
    """What `/metrics` asks for as a Bearer token; without one it answers this machine alone."""
    access_log: bool = False

    login_tries_per_account: int = Field(10, ge=1)
    login_tries_per_address: int = Field(100, ge=1)
    registrations_per_address: int = Field(100, ge=1)
    """How often in a quarter of an hour, over all web processes."""

    registration: Registration | Literal[""] = ""
    """Who may make an account: anybody, the invited, nobody. By default the invited alone, and anybody
    where only this machine can ask (by `API_HOST`, and by `PUBLIC_URL` where a proxy stands in front)."""
    smtp_url: SecretStr = SecretStr("")
    """`smtps://user:password@host:port`; with `smtp:` the connection turns to TLS by STARTTLS, which only
    a server on this machine may lack. Without it nobody gets mail."""
    smtp_from: str = ""
    """The sender's address."""
    requests_per_minute: int = Field(3000, ge=1)
    """Under `/api`, of one login, by one web process."""
    requests_per_minute_per_address: int = Field(12_000, ge=1)

    github_client_id: str = ""
    github_client_secret: SecretStr = SecretStr("")
    github_redirect_uri: str = ""
    github_app_id: str = ""
    github_app_private_key: SecretStr = SecretStr("")
    """PEM; `\\n` stands for a line's end where an environment takes one line only."""
    github_app_private_key_file: Path | None = None
    oidc_issuer: str = ""
    """As its discovery document spells it."""
    oidc_client_id: str = ""
    oidc_client_secret: SecretStr = SecretStr("")
    oidc_name: str = "single sign-on"
    """What the button says: `Continue with {oidc_name}`."""
    oidc_trust_email: bool = False
    """Whether every email that this issuer names is its owner's, verified or not: accounts are made by it."""
    github_webhook_secret: SecretStr = SecretStr("")
    """Signs what GitHub tells of every repository: that of a GitHub App's webhook. A project may have its
    own instead."""

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, given: str) -> str:
        proxies = [part.strip() for part in given.split(",") if part.strip()]
        for proxy in proxies:
            try:
                ip_network(proxy)
            except ValueError:
                raise ValueError(
                    f"{proxy!r} is no address and no network. Give them as 10.0.0.5 or 10.0.0.0/24, by commas"
                ) from None
        return ",".join(proxies)

    @field_validator("jwt_secret", "metrics_token", "github_webhook_secret")
    @classmethod
    def _strong(cls, secret: SecretStr) -> SecretStr:
        value = secret.get_secret_value()
        if value and weak(value):
            raise ValueError(
                f"too weak: give it {SECRET_BYTES} random bytes or more (`openssl rand -hex 32`), "
                "or leave it unset"
            )
        return secret

    @model_validator(mode="after")
    def _urls(self) -> Self:
        origin = (self.public_url or f"http://localhost:{self.api_port}").rstrip("/")
        object.__setattr__(self, "public_url", origin)
        if not self.github_redirect_uri:
            object.__setattr__(self, "github_redirect_uri", f"{origin}/api/auth/github/callback")
        if not self.registration:
            near = loopback(self.api_host) and loopback(urlsplit(origin).hostname or "")
            object.__setattr__(self, "registration", "open" if near else "invitation")
        return self

    @model_validator(mode="after")
    def _mail(self) -> Self:
        url = self.smtp_url.get_secret_value()
        if not url:
            return self
        parts = urlsplit(url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise ValueError("SMTP_URL: give it as smtps://user:password@host:port")
        if "@" not in self.smtp_from:
            raise ValueError("SMTP_FROM: name the address that mail comes from")
        return self

    @model_validator(mode="after")
    def _issuer(self) -> Self:
        if self.oidc_issuer and not self.oidc_issuer.startswith("https://") and not self.allow_local_remotes:
            raise ValueError("OIDC_ISSUER must begin with https://, or ALLOW_LOCAL_REMOTES=true allow http")
        return self

    @property
    def origins(self) -> list[str]:
        """Whose pages are ours, as browsers write it: the public address, under each of this machine's names
        where it is one of them. Never what a request says that it came to: any name can be made to lead here.
        """
        address = urlsplit(self.public_url)
        names = {address.hostname or ""}
        if names & {"localhost", "127.0.0.1"}:
            names |= {"localhost", "127.0.0.1"}
        shown = {f"[{name}]" if ":" in name else name for name in names}
        usual = {"http": 80, "https": 443}.get(address.scheme)
        port = f":{address.port}" if address.port not in (None, usual) else ""
        return sorted(f"{address.scheme}://{name}{port}" for name in shown)

    @property
    def behind_tls(self) -> bool:
        """Whether people come by https: then their cookies travel by nothing else."""
        return self.public_url.startswith("https:")

    @property
    def oidc_redirect_uri(self) -> str:
        return f"{self.public_url}/api/auth/oidc/callback"

    def github_app_key(self) -> str:
        """The app's private key, PEM; empty where there is none. Read when it is used, then forgotten."""
        if self.github_app_private_key_file is not None:
            return self.github_app_private_key_file.read_text()
        return self.github_app_private_key.get_secret_value().replace("\\n", "\n")


def loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def weak(secret: str) -> bool:
    """Whether a secret is short, repetitive, or one that everybody knows."""
    lowered = secret.lower()
    short = len(secret.encode()) < SECRET_BYTES or len(set(secret)) < 10
    # Padding does not make a well-known word a secret, however long it gets.
    return short or any(lowered.startswith(word) or lowered.endswith(word) for word in WELL_KNOWN)


@lru_cache
def get_settings() -> Settings:
    """This process's settings."""
    return Settings()
