"""Mail, by the SMTP server that `SMTP_URL` names."""

from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from urllib.parse import unquote, urlsplit

import aiosmtplib

from openlinear.settings import get_settings, loopback

SECONDS = 30.0
"""How long the server may take for one answer."""


def configured() -> bool:
    return bool(get_settings().smtp_url.get_secret_value())


async def send(to: str, subject: str, text: str) -> None:
    """Hand a mail over to the server. Raises aiosmtplib.SMTPException or OSError when it does not take it.

    The connection is by TLS, save to this machine itself, whose certificate nobody checks either.
    """
    settings = get_settings()
    url = urlsplit(settings.smtp_url.get_secret_value())
    host = url.hostname or ""
    near, implicit = loopback(host), url.scheme == "smtps"
    await aiosmtplib.send(
        _message(to, subject, text),
        hostname=host,
        port=url.port,
        username=unquote(url.username) if url.username else None,
        password=unquote(url.password) if url.password else None,
        use_tls=implicit,
        start_tls=None if near or implicit else True,
        validate_certs=not near,
        timeout=SECONDS,
    )


def _message(to: str, subject: str, text: str) -> EmailMessage:
    sender = get_settings().smtp_from
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, to, subject
    message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain=sender.rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    return message
