"""Whether the projects' servers can be reached from here. Asked for with `--network` alone."""

import asyncio
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlmodel import col

from openlinear.doctor.finding import Check, Finding, Ground, fine, wrong
from openlinear.models import Project

ANSWER_SECONDS = 8
MOST = 20


async def reach(ground: Ground) -> Finding | None:
    """One question to each server, without any credential: whatever it answers, it is there."""
    async with ground.session() as session:
        urls = await session.scalars(select(col(Project.clone_url)).distinct())
    servers = sorted({_server(url) for url in urls} - {None})[:MOST]  # type: ignore[type-var]
    if not servers:
        return None
    answers = await asyncio.gather(*(asyncio.to_thread(_trouble, str(server)) for server in servers))
    troubles = [f"{server} ({why})" for server, why in zip(servers, answers, strict=True) if why]
    if troubles:
        return wrong(
            "Reach",
            f"These do not answer: {', '.join(troubles)}.",
            "See that this machine may connect there: name server, firewall, HTTPS_PROXY.",
        )
    return fine("Reach", f"All {len(servers)} servers of projects answer.")


def _server(url: str) -> str | None:
    """Scheme, host and port of a clone URL, without the user it may name; None for a demo's."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _trouble(server: str) -> str | None:
    request = urllib.request.Request(f"{server}/", method="HEAD")  # noqa: S310 - http and https alone, see `_server`
    try:
        urllib.request.urlopen(request, timeout=ANSWER_SECONDS).close()  # noqa: S310
    except urllib.error.HTTPError:
        return None
    except urllib.error.URLError as error:
        return str(getattr(error.reason, "strerror", None) or error.reason)[:100]
    except OSError as error:
        return str(error.strerror or type(error).__name__)
    return None


CHECKS: tuple[Check, ...] = (reach,)
