"""What Prometheus reads. It tells of usage, so it is not for everybody."""

import hmac
import ipaddress
from functools import lru_cache
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from openlinear.metrics import Exposition
from openlinear.resources import installed
from openlinear.services.errors import Forbidden, NotSignedIn
from openlinear.settings import get_settings

router = APIRouter(tags=["metrics"])

ELSEWHERE = (
    "origin",
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
)


@lru_cache
def _exposition() -> Exposition:
    return Exposition(installed())


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """The state of all processes. For who knows METRICS_TOKEN; where none is set, for this machine."""
    _admit(request)
    return Response(await _exposition().text(), media_type=CONTENT_TYPE_LATEST)


def _admit(request: Request) -> None:
    token = get_settings().metrics_token.get_secret_value()
    if token:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
            raise NotSignedIn("Send METRICS_TOKEN as a Bearer token.")
    elif not _from_here(request):
        raise Forbidden("Only this machine may ask, unless METRICS_TOKEN is set and sent as a Bearer token.")


def _from_here(request: Request) -> bool:
    """Whether a program of this machine asks for itself.

    A proxy on this machine asks for others: it says so, or the installation has another public name.
    The name in `Host` is checked too, since a browser can be made to resolve any other to this machine,
    and a page of another origin gets nothing.
    """
    names = (request.url.hostname, urlsplit(get_settings().public_url).hostname)
    here = request.client is not None and _loopback(request.client.host)
    return here and all(map(_loopback, names)) and not any(name in request.headers for name in ELSEWHERE)


def _loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
