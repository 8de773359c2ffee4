"""Which coding agents can run here, with which models, and why not where they cannot."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear.engine_client import engine_client
from openlinear.services import providers, sandbox
from openlinear.services.errors import Conflict, NotFound
from openlinear.services.fields import AGENTS
from openlinear.services.views import Actor, ProviderView

NAMES = {"opencode": "OpenCode"}
NO_WORKER = "No engine worker is running, so nothing begins. Whoever runs this installation can start one."


@dataclass(frozen=True, slots=True)
class AgentView:
    id: str
    """As a task's `agent` names it."""
    name: str
    available: bool
    reason: str | None
    """Why it cannot run now, with the cure."""


@dataclass(frozen=True, slots=True)
class ModelView:
    id: str
    """As a task's `model` names it: `providerId/modelId`."""
    provider_id: str
    provider: str
    available: bool
    reason: str | None


async def list_agents(session: AsyncSession, _: Actor) -> list[AgentView]:
    """Every agent that a task may name."""
    reason = await _trouble(session)
    return [AgentView(one, NAMES[one], reason is None, reason) for one in AGENTS]


async def list_models(session: AsyncSession, actor: Actor, agent: str) -> Sequence[ModelView]:
    """What this agent may use for this actor: connected models first, the default at the top."""
    if agent not in AGENTS:
        raise NotFound("There is no such agent.")
    known = await providers.list_providers(session, actor)
    return [_model(provider, model) for provider in known for model in provider.models]


async def _trouble(session: AsyncSession) -> str | None:
    """What keeps every agent of this installation from running."""
    health = await engine_client().health(session)
    if not health.workers:
        return NO_WORKER
    try:
        await sandbox.require_fit(session)
    except Conflict as error:
        return str(error)
    return health.trouble


def _model(provider: ProviderView, model: str) -> ModelView:
    return ModelView(
        id=f"{provider.provider_id}/{model}",
        provider_id=provider.provider_id,
        provider=provider.name,
        available=provider.connected,
        reason=None if provider.connected else f"Connect {provider.name} under Settings first.",
    )
