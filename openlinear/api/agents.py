"""Agents and their models over HTTP: what can run here, and why not where it cannot."""

from fastapi import APIRouter

from openlinear.api.projects import Limit
from openlinear.api.security import Me, Session
from openlinear.api.shapes import Items, Shape, page_of
from openlinear.services import agents, paging

router = APIRouter(prefix="/api/agents", tags=["agents"])


class Agent(Shape):
    id: str
    name: str
    available: bool
    reason: str | None


class Model(Shape):
    id: str
    provider_id: str
    provider: str
    available: bool
    reason: str | None


@router.get("")
async def index(
    session: Session, actor: Me, limit: Limit = paging.LIMIT, cursor: str | None = None
) -> Items[Agent]:
    """Every agent that a task may name, with the reason where it cannot run now."""
    return page_of(paging.sliced(await agents.list_agents(session, actor), cursor, limit), Agent)


@router.get("/{agent}/models")
async def models(
    agent: str, session: Session, actor: Me, limit: Limit = paging.LIMIT, cursor: str | None = None
) -> Items[Model]:
    """What the caller connected, then what a key alone would connect. The first is the default."""
    return page_of(paging.sliced(await agents.list_models(session, actor, agent), cursor, limit), Model)
