"""Agents and their models over HTTP: what can run here, and why not where it cannot."""

from fastapi import APIRouter

from openlinear.api.security import Me, Session
from openlinear.api.shapes import Items, Shape
from openlinear.services import agents

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
async def index(session: Session, actor: Me) -> Items[Agent]:
    """Every agent that a task may name, with the reason where it cannot run now."""
    return Items(items=[Agent.model_validate(one) for one in await agents.list_agents(session, actor)])


@router.get("/{agent}/models")
async def models(agent: str, session: Session, actor: Me) -> Items[Model]:
    """What the caller connected, then what a key alone would connect. The first is the default."""
    found = await agents.list_models(session, actor, agent)
    return Items(items=[Model.model_validate(one) for one in found])
