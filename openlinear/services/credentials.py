"""Credentials as they are kept: sealed, opened at the moment of use only."""

import json
from urllib.parse import urlsplit

from openlinear import vault

REMOTE = "remote"
PROVIDER = "provider"
IDENTITY = "identity"


def seal_remote(username: str, password: str) -> str:
    return vault.seal(REMOTE, json.dumps([username, password]))


def unseal_remote(sealed: str) -> tuple[str, str]:
    username, password = json.loads(vault.unseal(REMOTE, sealed))
    return username, password


def origin(url: str | None) -> tuple[str, str, int | None]:
    """Where a credential for this URL may go: scheme, host and port."""
    parts = urlsplit(url or "")
    return parts.scheme.lower(), (parts.hostname or "").lower(), parts.port
