"""A user's policy as the proxy reads it: rules of host and ports."""

import json
import re
import socket
import struct
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from engine.egress_hosts import PROVIDERS, REGISTRIES, WEB_PORTS
from engine.ports import Egress
from engine.settings import EngineSettings

_REFUSED_BYTES = 1 << 16
_NAMED = re.compile(r"[a-z0-9_.:-]{1,260}")
_FIB = Path("/proc/net/fib_trie")
_IF6 = Path("/proc/net/if_inet6")


def policy(egress: Egress, settings: EngineSettings) -> dict[str, Any]:
    """{mode, rules, own}. Model providers are in every one: an agent without its model does nothing."""
    rules = [rule for one in egress.providers for rule in _provider(one, settings)]
    if egress.mode != "none":
        # What the operator lists may be in their own network; nobody else opens that.
        rules += [_named(host, private=True) for host in settings.egress_hosts]
        rules += [_named(host, private=False) for host in (*REGISTRIES, *egress.hosts)]
    return {"mode": egress.mode, "rules": rules, "own": own_addresses()}


def _named(host: str, *, private: bool) -> dict[str, Any]:
    name, _, port = host.partition(":")
    return {"host": name, "ports": [int(port)] if port else list(WEB_PORTS), "private": private}


def _provider(where: str, settings: EngineSettings) -> list[dict[str, Any]]:
    """`where` is a base URL, or the id of a provider whose hosts are known."""
    if "://" not in where:
        return [{"host": host, "ports": [443], "private": False} for host in PROVIDERS.get(where, ())]
    parts = urlsplit(where)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    host = (parts.hostname or "").rstrip(".")
    return [{"host": host, "ports": [port], "private": settings.allow_local_remotes}]


def own_addresses() -> list[str]:
    """Every address of this machine: what listens on all of them is not the open internet's either."""
    found: set[str] = set()
    if _FIB.is_file():
        found |= set(re.findall(r"\|-- ([0-9.]+)\n\s+/32 host LOCAL", _FIB.read_text()))
    if _IF6.is_file():
        for line in _IF6.read_text().splitlines():
            found.add(socket.inet_ntop(socket.AF_INET6, struct.pack("!16B", *bytes.fromhex(line.split()[0]))))
    return sorted(found)


def refused(path: Path) -> dict[str, float]:
    """What the proxy noted: host → Unix time. Anything that is no host is left out."""
    try:
        with path.open("rb") as file:
            noted = json.loads(file.read(_REFUSED_BYTES))
    except (OSError, ValueError):
        return {}
    return {
        host: float(when)
        for host, when in noted.items()
        if isinstance(when, int | float) and _NAMED.fullmatch(host)
    }
