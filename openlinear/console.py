"""One-time links for accounts, made by whoever has the server's command line."""

import os
from collections.abc import Awaitable, Callable

from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear import db, firstlink
from openlinear.errors import StartError
from openlinear.secrets import find_secret
from openlinear.services import registration, resets
from openlinear.services.errors import ServiceError
from openlinear.settings import Settings

Make = Callable[[AsyncSession], Awaitable[str]]


async def invitation() -> str:
    """A link by which one person may make an account. StartError where nobody may."""
    return await _made(lambda session: registration.invite(session, None))


async def password_link(email: str) -> str:
    """A link to a new password. StartError where nobody has this email."""
    return await _made(lambda session: resets.link(session, email))


def administrator_link(settings: Settings, database_url: str) -> str:
    """The link to the first administrator. StartError where there is one."""
    secret = find_secret(settings.openlinear_home.expanduser(), os.environ, "JWT_SECRET")
    if not secret:
        raise StartError("There are no keys here yet: `openlinear up` makes them at the first start.")
    if not firstlink.wanted(database_url):
        raise StartError("There is an administrator already, who makes others on the Administration page.")
    return firstlink.address(settings.public_url, secret)


async def _made(make: Make) -> str:
    try:
        async with db.transaction() as session:
            return await make(session)
    except ServiceError as error:
        raise StartError(str(error)) from None
    except ProgrammingError:
        raise StartError("The database has no such tables yet. Run `openlinear migrate` first.") from None
    except OperationalError:
        raise StartError("The database that DATABASE_URL names does not answer.") from None
    finally:
        await db.close()
