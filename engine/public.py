"""Which network addresses are of the open internet. Without dependencies: it also runs inside containers."""

import ipaddress
import socket

_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open internet, and not of this machine.

    ValueError when it is no IP address.
    """
    ip: Address = ipaddress.ip_address(address.partition("%")[0])
    return all(_is_global(one) for one in (ip, *_embedded(ip))) and not _is_own(ip)


def is_private(address: str) -> bool:
    """Whether it is an ordinary address of a private network: neither loopback nor link-local (where clouds
    keep their metadata), nor one that means none or many.
    """
    ip: Address = ipaddress.ip_address(address.partition("%")[0])
    special = ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified or ip.is_reserved
    return ip.is_private and not special and not _embedded(ip)


def _is_global(ip: Address) -> bool:
    site_local = isinstance(ip, ipaddress.IPv6Address) and ip.is_site_local
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or site_local)


def _embedded(ip: Address) -> list[ipaddress.IPv4Address]:
    """The IPv4 addresses that an IPv6 address stands for, by any of the ways there are."""
    if isinstance(ip, ipaddress.IPv4Address):
        return []
    found = [one for one in (ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())) if one is not None]
    if ip in _NAT64 or int(ip) >> 32 == 0:
        found.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))
    return found


def _is_own(ip: Address) -> bool:
    """Whether an interface of this machine holds it: only then can a socket be bound to it."""
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(ip), 0))
        except OSError:
            return False
    return True
