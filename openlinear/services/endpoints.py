"""Addresses of model providers that a user may name, as far as the name alone tells."""

from urllib.parse import urlsplit

from openlinear.engine_client import engine_client
from openlinear.services import text
from openlinear.services.errors import Invalid
from openlinear.settings import get_settings


def checked(url: str) -> str:
    """A base URL without a trailing slash. Invalid says what is wrong with it."""
    url = text.line(url, "baseUrl", limit=500).rstrip("/")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise _refused("is not a valid URL") from None
    if parts.scheme not in ("http", "https") or not host:
        raise _refused("must begin with https:// or http:// and name a host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise _refused("must hold no user, password, query or fragment; give the key as the API key")
    if trouble := engine_client().host_trouble(host):
        raise _refused(trouble)
    if parts.scheme != "https" and not get_settings().allow_local_remotes:
        raise _refused("must begin with https://")
    return url


def _refused(reason: str) -> Invalid:
    return Invalid(f"The base URL {reason}.", baseUrl=reason)
