"""What signs: made here, sealed at rest, opened when something is signed or verified."""

import base64
import json
import secrets
from datetime import datetime, timedelta

from standardwebhooks.webhooks import Webhook as Signer

from openlinear import vault
from openlinear.models.columns import now

WEBHOOK = "webhook"
GITHUB = "github-hook"
"""Purposes in the vault."""
OVERLAP = timedelta(hours=24)
"""For how long the former secret signs too, so that a receiver can change without losing anything."""


def fresh() -> str:
    """As the Standard Webhooks specification writes it: 32 random bytes."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def sealed(current: str, former: str = "", until: datetime | None = None) -> str:
    until = until or now()
    return vault.seal(WEBHOOK, json.dumps([current, former, until.isoformat()]))


def rotated(kept: str, current: str) -> str:
    """The sealed new secret beside what signed until now. What cannot be read any more is let go."""
    try:
        former = json.loads(vault.unseal(WEBHOOK, kept))[0]
    except vault.Unreadable:
        former = ""
    return sealed(current, former, now() + OVERLAP)


def signatures(kept: str, message: str, at: datetime, body: str) -> str:
    """The header `webhook-signature`: one signature for each secret that holds. vault.Unreadable."""
    current, former, until = json.loads(vault.unseal(WEBHOOK, kept))
    both = [current, former] if former and now() < datetime.fromisoformat(until) else [current]
    return " ".join(Signer(secret).sign(message, at, body) for secret in both)
