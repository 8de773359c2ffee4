"""Where agents run, as far as it decides who may run any."""

from sqlalchemy import func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from engine.enqueue import EngineAway
from openlinear.engine_client import engine_client
from openlinear.models import User
from openlinear.services.errors import Conflict, Unavailable
from openlinear.services.views import Actor
from openlinear.settings import get_settings

ON_THIS_MACHINE = ("process", "bare")
FOR_ONE = (
    "There is no Docker, so agents would run on the server itself, which is meant for one person, and it has "
    "{accounts} accounts. Whoever runs it can install Docker and start it with SANDBOX=docker, or start it "
    "with SANDBOX=process to let them share it."
)


async def require_fit(session: AsyncSession) -> None:
    """Conflict where people would share the server's own processes and nobody chose that."""
    if get_settings().sandbox != "auto":
        return
    if (await engine_client().health(session)).sandbox not in ON_THIS_MACHINE:
        return
    accounts = await session.scalar(select(func.count()).select_from(User)) or 0
    if accounts > 1:
        raise Conflict(FOR_ONE.format(accounts=accounts))


async def refused_hosts(actor: Actor) -> list[str]:
    """What the actor's agents asked for of late and may not reach, the latest first."""
    try:
        return await engine_client().refused_hosts(actor.id)
    except EngineAway:
        raise Unavailable("No engine answered. Start one (`openlinear up`), then try again.") from None


async def keeps_egress(session: AsyncSession, _actor: Actor) -> bool:
    """Whether agents are held to what their user lets them reach. Unknown while no worker is there."""
    on_this_machine = (await engine_client().health(session)).sandbox in ON_THIS_MACHINE
    return get_settings().egress == "on" and not on_this_machine
