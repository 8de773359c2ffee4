"""The web server: its port, and whether it is safe where others reach it."""

import asyncio
import socket
from urllib.parse import urlsplit

from openlinear.doctor.finding import Check, Finding, Ground, fine, warn, wrong
from openlinear.settings import loopback


async def port(ground: Ground) -> Finding:
    settings = ground.settings
    place = f"{settings.api_host}:{settings.api_port}"
    said = await ground.health()
    if isinstance(said, dict):
        if said.get("database") != "ok":
            return wrong(
                "Port",
                f"OpenLinear {said['version']} answers on {place}, but has no database.",
                "See what is said of the database.",
            )
        return fine("Port", f"OpenLinear {said['version']} answers on {place}.")
    trouble = (
        None if said is not None else await asyncio.to_thread(_refused, settings.api_host, settings.api_port)
    )
    if said is None and trouble is None:
        return fine("Port", f"{place} is free; OpenLinear does not run here.")
    return wrong(
        "Port",
        f"{place} cannot be used: {trouble or 'another program answers there'}.",
        f"Stop what uses it, or choose another, as in `API_PORT={settings.api_port + 1}`.",
    )


def _refused(host: str, number: int) -> str | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, number))
        except OSError as error:
            return error.strerror or "unknown"
    return None


async def exposure(ground: Ground) -> Finding:
    settings = ground.settings
    public = urlsplit(settings.public_url)
    near = loopback(settings.api_host)
    if near and (public.scheme == "https" or loopback(public.hostname or "")):
        return fine("Exposure", f"It listens to this machine alone; people open {settings.public_url}.")
    if public.scheme != "https":
        return wrong(
            "Exposure",
            f"Others reach {settings.public_url if near else settings.api_host} without TLS: "
            "passwords and logins travel in the clear.",
            "Put a proxy with TLS in front, let API_HOST be 127.0.0.1 where it runs beside, and set "
            "PUBLIC_URL to the https:// address people open.",
        )
    text = f"It listens on {settings.api_host}; people open {settings.public_url}."
    return fine("Exposure", f"{text} Let only the proxy reach its port.")


async def proxies(ground: Ground) -> Finding | None:
    """Only a proxy makes an address https, so there is one; on another machine, where others may connect."""
    settings = ground.settings
    if loopback(settings.api_host) or urlsplit(settings.public_url).scheme != "https":
        return None
    if all(loopback(one) for one in settings.trusted_proxies.split(",") if one):
        return warn(
            "Proxies",
            "No proxy's word counts but one on this machine: behind any other, all people share its address, "
            "and with it one limit on tries.",
            "Set TRUSTED_PROXIES to the address or network of the proxy, as in TRUSTED_PROXIES=10.0.0.5; let "
            "API_HOST be 127.0.0.1 where it runs beside.",
        )
    return fine("Proxies", f"Whose address is whose, {settings.trusted_proxies} may say.")


async def registration(ground: Ground) -> Finding:
    settings = ground.settings
    mode, near = settings.registration, loopback(urlsplit(settings.public_url).hostname or "")
    if mode == "open" and not (near and loopback(settings.api_host)):
        return warn(
            "Registration",
            "Anybody who reaches the page may make an account.",
            "Unless that is meant, unset REGISTRATION: then one needs an invitation.",
        )
    words = {"open": "Anybody on this machine may", "invitation": "The invited may", "closed": "Nobody may"}
    return fine("Registration", f"{words[mode]} make an account.")


async def metrics(ground: Ground) -> Finding | None:
    settings = ground.settings
    if settings.metrics_token.get_secret_value():
        return fine("Metrics", "/metrics asks for METRICS_TOKEN.")
    if loopback(settings.api_host) and loopback(urlsplit(settings.public_url).hostname or ""):
        return fine("Metrics", "/metrics answers programs of this machine alone.")
    return warn("Metrics", "/metrics answers nobody.", "Set METRICS_TOKEN and give it to Prometheus.")


async def remotes_of_this_machine(ground: Ground) -> Finding | None:
    if not ground.settings.allow_local_remotes or loopback(ground.settings.api_host):
        return None
    return warn(
        "Remotes",
        "ALLOW_LOCAL_REMOTES lets everybody with an account name servers of your private network.",
        "Unset it unless all of them may reach those.",
    )


CHECKS: tuple[Check, ...] = (port, exposure, proxies, registration, metrics, remotes_of_this_machine)
