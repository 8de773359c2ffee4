"""What happens to accounts, as lines of the server's log: a team's audit log is not for it."""

import logging
from uuid import UUID

log = logging.getLogger("openlinear.accounts")


def note(event: str, user_id: UUID | None, **facts: object) -> None:
    """One line, as `event user=… fact=…`. Never a secret, and no name or email that somebody chose."""
    known = {"user": user_id, **facts}
    said = " ".join(f"{name}={value}" for name, value in known.items() if value not in (None, ""))
    log.info("%s %s", event, said)
