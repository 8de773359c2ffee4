"""A request that may come twice has its effect once: answered again from what was answered first.

After the IETF's draft of the `Idempotency-Key` header field. Only what succeeded is kept: a refusal rolls
its key back with everything else, so that the same request may be tried again.
"""

import hashlib
import re
from datetime import timedelta
from typing import Any

from sqlalchemy import update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear.models import Answered
from openlinear.models.columns import now
from openlinear.services.errors import Conflict, Invalid
from openlinear.services.views import Actor

KEPT = timedelta(hours=24)
KEY = re.compile(r"[\x21-\x7e]{1,255}")


async def earlier(session: AsyncSession, actor: Actor, key: str, request: bytes) -> dict[str, Any] | None:
    """What the same request was answered, or None for the first, whose transaction now holds the key.

    One that comes meanwhile waits for that transaction's end. Invalid for another request under this key;
    `request` is all that tells requests apart. Only digests of both are kept.
    """
    if not KEY.fullmatch(key):
        reason = "must be 1 to 255 printable characters without spaces"
        raise Invalid(f"The Idempotency-Key {reason}.", **{"Idempotency-Key": reason})
    mine = {"user_id": actor.id, "key_hash": _digest(key.encode())}
    fresh = {"request_hash": _digest(request), "created_at": now(), "answer": None}
    made = (
        insert(Answered)
        .values(**mine, **fresh)
        .on_conflict_do_update(
            index_elements=["user_id", "key_hash"],
            set_=fresh,
            where=col(Answered.created_at) < now() - KEPT,
        )
        .returning(col(Answered.key_hash))
    )
    if (await session.execute(made)).first() is not None:
        return None
    found = await session.get(Answered, tuple(mine.values()), populate_existing=True)
    if found is None or found.answer is None:
        raise Conflict("The first request with this Idempotency-Key has just ended. Send it again.")
    if found.request_hash != fresh["request_hash"]:
        reason = "was used for another request"
        raise Invalid(f"This Idempotency-Key {reason}. Take a new one.", **{"Idempotency-Key": reason})
    return found.answer


async def keep(session: AsyncSession, actor: Actor, key: str, answer: dict[str, Any]) -> None:
    """Answer so again. `answer` is JSON, and no secret."""
    mine = (col(Answered.user_id) == actor.id) & (col(Answered.key_hash) == _digest(key.encode()))
    await session.execute(update(Answered).where(mine).values(answer=answer))


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
