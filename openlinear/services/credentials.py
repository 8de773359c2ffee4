"""Credentials as they are kept: sealed, opened at the moment of use only."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from openlinear import vault

REMOTE = "remote"
PROVIDER = "provider"
IDENTITY = "identity"
ACCOUNT = "account"
CODE = "code"


def seal_remote(username: str, password: str) -> str:
    return vault.seal(REMOTE, json.dumps([username, password]))


def unseal_remote(sealed: str) -> tuple[str, str]:
    username, password = json.loads(vault.unseal(REMOTE, sealed))
    return username, password


def seal_key(key: str) -> str:
    return vault.seal(PROVIDER, key)


def seal_account(account: Mapping[str, Any]) -> str:
    return vault.seal(ACCOUNT, json.dumps(dict(account)))


def unseal_account(sealed: str) -> dict[str, Any]:
    return dict(json.loads(vault.unseal(ACCOUNT, sealed)))


def seal_code(code: str) -> str:
    return vault.seal(CODE, code)


def unseal_code(sealed: str) -> str:
    return vault.unseal(CODE, sealed)


def origin(url: str | None) -> tuple[str, str, int | None]:
    """Where a credential for this URL may go: scheme, host and port."""
    parts = urlsplit(url or "")
    return parts.scheme.lower(), (parts.hostname or "").lower(), parts.port
