"""Links that do one thing once: let somebody make an account, or choose a new password.

What is in a link stands behind the `#` of its address, which browsers send to nobody, and is kept as a
digest alone.
"""

import hashlib
import secrets
from datetime import timedelta
from typing import Literal
from uuid import UUID

from sqlalchemy import delete
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear.models import OneTimeLink
from openlinear.models.columns import now

TOKEN_BYTES = 32
Purpose = Literal["invitation", "reset"]


async def make(
    session: AsyncSession,
    purpose: Purpose,
    lasting: timedelta,
    *,
    user_id: UUID | None = None,
    created_by: UUID | None = None,
) -> tuple[str, OneTimeLink]:
    """A new link's token, which comes out here alone, and its row."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    made = OneTimeLink(
        purpose=purpose,
        token_hash=digest(token),
        user_id=user_id,
        created_by=created_by,
        expires_at=now() + lasting,
    )
    session.add(made)
    await session.flush()
    return token, made


async def take(session: AsyncSession, purpose: Purpose, token: str) -> OneTimeLink | None:
    """Spend the link: of two that try at once, one gets it. None for a wrong, spent or ended one."""
    known = (col(OneTimeLink.token_hash) == digest(token)) & (col(OneTimeLink.purpose) == purpose)
    good = known & (col(OneTimeLink.expires_at) > now())
    found: OneTimeLink | None = await session.scalar(delete(OneTimeLink).where(good).returning(OneTimeLink))
    return found


def digest(token: str) -> str:
    """Enough for a token of 256 random bits: there is nothing to guess."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
