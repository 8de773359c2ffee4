"""The first administrator: whoever has the link that the server prints on its console."""

import hmac

from sqlalchemy import func, select
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear import firstlink
from openlinear.models import User
from openlinear.services import account_log, logins, throttle
from openlinear.services.access import require_login
from openlinear.services.errors import Forbidden
from openlinear.services.views import Actor
from openlinear.settings import get_settings

TRIES = 10
WRONG = (
    "This link is not the server's, or there is an administrator already. `openlinear up` prints it at each "
    "start as long as there is none."
)


def token() -> str:
    """What is in the link."""
    return firstlink.token(get_settings().jwt_secret.get_secret_value())


def fits(given: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), token().encode())


async def alone(session: AsyncSession) -> None:
    """Nobody else becomes or stops being an administrator until this transaction ends."""
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended("administrators", 0))))


async def become(session: AsyncSession, actor: Actor, given: str) -> None:
    """Make this person the first administrator. Forbidden with another link, or when there is one."""
    require_login(actor)
    await throttle.admit("administer as", str(actor.id), TRIES)
    await alone(session)
    await logins.still(session, actor)
    there_is_one = await session.scalar(select(col(User.id)).where(col(User.admin)).limit(1)) is not None
    if there_is_one or not fits(given.strip()):
        raise Forbidden(WRONG)
    (await session.get_one(User, actor.id)).admin = True
    account_log.note("became the first administrator", actor.id)
