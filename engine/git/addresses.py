"""Which network addresses a remote may have: none of this host, none of a private network."""

import asyncio
import ipaddress
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from urllib.request import getproxies, proxy_bypass

from engine.errors import RunError
from engine.public import is_public

_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")
_LOCAL_NAMES = ("localhost", "localdomain", "local", "internal", "lan", "home", "corp", "home.arpa")
_POOL = ThreadPoolExecutor(16, thread_name_prefix="names")  # a name server that hangs holds nothing else up


def normalise(host: str) -> str | None:
    """A host as it is compared and connected to; None when it is no host at all.

    Lower case, no trailing dot, and every spelling of an IPv4 address that resolvers take (decimal,
    hexadecimal, octal, short) as the plain dotted one.
    """
    host = host.lower().removesuffix(".")
    if ":" in host:
        try:
            return ipaddress.IPv6Address(host).compressed if "%" not in host else None
        except ValueError:
            return None
    if not _NAME.fullmatch(host) or len(host) > 253:
        return None
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return host


def names_local(host: str) -> bool:
    """Whether a normalised host is, on the face of it, this machine or a private address."""
    try:
        return not is_public(host)
    except ValueError:
        # Without a dot, a name is this machine's, or of its own domain.
        own = "." not in host or host == socket.gethostname().lower()
        return own or any(host == name or host.endswith("." + name) for name in _LOCAL_NAMES)


async def resolve(scheme: str, host: str, port: int, *, allow_local: bool) -> list[str]:
    """The addresses to connect to, each checked; empty when only the operator's proxy can tell.

    RunError when the name does not resolve, or when one of its addresses is private and
    `allow_local` does not let it be.
    """
    proxied = scheme in getproxies() and not proxy_bypass(host)
    try:
        ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        infos = await asyncio.get_running_loop().run_in_executor(_POOL, ask)
    except OSError as error:
        if proxied:
            return []
        raise RunError(
            f"The name {host} does not resolve. Check the clone URL for a typing error.", "network"
        ) from error
    addresses = list(dict.fromkeys(str(info[4][0]) for info in infos))
    if not allow_local and not all(is_public(address) for address in addresses):
        raise local_refused(host)
    return addresses


def local_refused(host: str) -> RunError:
    return RunError(
        f"{host} is an address of this machine or of a private network, which clone URLs may not name. "
        "Who runs this server can allow it with ALLOW_LOCAL_REMOTES=true.",
        "remote",
    )
