"""A real SMTP server in this process, which keeps what it is handed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from email.policy import default
from urllib.parse import quote

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from openlinear.settings import get_settings
from tests.support.product import Workerless

USER, MAIL_PASSWORD = "board@example.com", "mail p@ss/word"


@dataclass
class Mailbox:
    """What came in. `refuse` is what the server answers instead of taking mail."""

    letters: list[tuple[str, Message]] = field(default_factory=list)
    refuse: str = ""
    logins: int = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.refuse:
            return self.refuse
        content = envelope.original_content or b""
        self.letters.append((envelope.rcpt_tos[0], message_from_bytes(content, policy=default)))
        return "250 taken"

    def known(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: object
    ) -> AuthResult:
        self.logins += 1
        return AuthResult(success=given == LoginPassword(USER.encode(), MAIL_PASSWORD.encode()))

    async def letter(self, number: int = 1) -> tuple[str, str]:
        """To whom the latest of so many went, and its text."""
        async with asyncio.timeout(10):
            while len(self.letters) < number:
                await asyncio.sleep(0.01)
        to, message = self.letters[-1]
        return to, message.get_content().replace("\r\n", "\n")  # type: ignore[attr-defined]


@asynccontextmanager
async def receiving() -> AsyncIterator[tuple[Mailbox, dict[str, str]]]:
    """The server, and the settings by which the product uses it."""
    box = Mailbox()
    options = {"authenticator": box.known, "auth_required": True, "auth_require_tls": False}
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(box, **options), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    login = f"{quote(USER, safe='')}:{quote(MAIL_PASSWORD, safe='')}"
    url = f"smtp://{login}@127.0.0.1:{port}"
    try:
        yield box, {"SMTP_URL": url, "SMTP_FROM": "OpenLinear <board@example.com>"}
    finally:
        server.close()
        await server.wait_closed()


@pytest.fixture
async def mailbox(product: Workerless, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Mailbox]:
    """The product in this process sends its mail here."""
    async with receiving() as (box, settings):
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        get_settings.cache_clear()
        yield box
