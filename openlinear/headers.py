"""What every answer says to a browser about itself: what a page may load, and who may show it.

The pages are compiled, so their inline scripts are known: each is named by its hash, and no other runs.
Styles may be inline, since React sets them so, and small fonts are written into the style sheets.
"""

import base64
import hashlib
import re
from collections.abc import Iterable
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

INLINE = re.compile(rb"<script(?P<attributes>[^>]*)>(?P<source>.*?)</script>", re.DOTALL | re.IGNORECASE)
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
}
NOTHING = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""The policy of what is no page."""
YEAR = 365 * 24 * 3600


class SecurityHeaders:
    """Around everything that is served. `pages` is the folder of the built pages."""

    def __init__(self, app: ASGIApp, *, public_url: str, pages: Path) -> None:
        self._app = app
        self._page_policy = policy(public_url, script_hashes(pages))
        self._always = dict(ALWAYS)
        if public_url.startswith("https:"):
            self._always["Strict-Transport-Security"] = f"max-age={YEAR}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        private = scope["path"].startswith("/api/") or scope["path"] in ("/api", "/health", "/metrics")

        async def telling(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                page = headers.get("content-type", "").startswith("text/html")
                headers.update(self._always)
                if message["status"] != HTTPStatus.NOT_MODIFIED:  # the page that is kept keeps its policy
                    headers["Content-Security-Policy"] = self._page_policy if page else NOTHING
                if private:
                    headers["Cache-Control"] = "no-store"
                elif page:
                    headers["Cache-Control"] = "no-cache"  # it names its scripts and this policy their hashes
            await send(message)

        await self._app(scope, receive, telling)


def policy(public_url: str, hashes: Iterable[str]) -> str:
    """What a page may load and do: its own parts, the scripts of these hashes, the websocket home."""
    address = urlsplit(public_url)
    socket = f"{'wss' if address.scheme == 'https' else 'ws'}://{address.netloc}"
    return "; ".join(
        (
            "default-src 'none'",
            " ".join(("script-src 'self'", *(f"'{one}'" for one in hashes))),
            "style-src 'self' 'unsafe-inline'",
            "font-src 'self' data:",
            "img-src 'self' data:",
            f"connect-src 'self' {socket}",
            "manifest-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "object-src 'none'",
        )
    )


def script_hashes(pages: Path) -> list[str]:
    """Of every inline script of the built pages, each once, as a policy names them."""
    found = {
        match["source"]
        for page in pages.rglob("*.html")
        for match in INLINE.finditer(page.read_bytes())
        if b"src=" not in match["attributes"]
    }
    return sorted("sha256-" + base64.b64encode(hashlib.sha256(one).digest()).decode() for one in found)
