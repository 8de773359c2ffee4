"""What the engine needs of the world, as Protocols. Adapters live beside: sandbox/, agents/, forge/.

Values are plain dataclasses without secrets in their `repr`. Methods raise `RunError`
(`engine.errors`) with a reason for a person; "already gone" is success everywhere.
"""

from engine.ports.agent import Agent, AgentEvent, EventKind, ModelRef, ProviderKey, Session, SignIn
from engine.ports.forge import Credential, Forge, PullRequest
from engine.ports.product import BatchNews, Brief, Known, Product, RemoteAccess
from engine.ports.sandbox import Box, BoxState, Egress, EgressMode, Finished, Report, Sandbox, SandboxName

__all__ = [
    "Agent",
    "AgentEvent",
    "BatchNews",
    "Box",
    "BoxState",
    "Brief",
    "Credential",
    "Egress",
    "EgressMode",
    "EventKind",
    "Finished",
    "Forge",
    "Known",
    "ModelRef",
    "Product",
    "ProviderKey",
    "PullRequest",
    "RemoteAccess",
    "Report",
    "Sandbox",
    "SandboxName",
    "Session",
    "SignIn",
]
