"""Addresses of model providers that a user may name, as far as the name alone tells."""

import ipaddress
import socket
from urllib.parse import urlsplit

from openlinear.services import text
from openlinear.services.errors import Invalid
from openlinear.settings import get_settings

LOCAL_NAMES = ("localhost", "local", "internal", "lan", "home", "corp")


def checked(url: str) -> str:
    """A base URL without a trailing slash. Invalid says what is wrong with it."""
    url = text.line(url, "baseUrl", limit=500).rstrip("/")
    try:
        parts = urlsplit(url)
        host, _ = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise _refused("is not a valid URL") from None
    if parts.scheme not in ("http", "https") or not host:
        raise _refused("must begin with https:// or http:// and name a host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise _refused("must hold no user, password, query or fragment; give the key as the API key")
    if not get_settings().allow_local_remotes:
        if _local(host):
            raise _refused(
                "names this machine or a private network. Set ALLOW_LOCAL_REMOTES=true to allow that"
            )
        if parts.scheme != "https":
            raise _refused("must begin with https://")
    return url


def _local(host: str) -> bool:
    address = _address(host)
    if address is not None:
        return not address.is_global
    return "." not in host or host.rsplit(".", 1)[1].lower() in LOCAL_NAMES


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address a host spells out, in any of the spellings that resolvers take (127.1, 0x7f.1)."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError:
            return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _refused(reason: str) -> Invalid:
    return Invalid(f"The base URL {reason}.", baseUrl=reason)
