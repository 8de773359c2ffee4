"""What the services of teams hand out: plain frozen values, as `services.views`."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from engine.limits import Limits


@dataclass(frozen=True, slots=True)
class TeamView:
    id: UUID
    name: str
    key: str
    """Short upper-case word in front of the task numbers of all its projects."""
    role: str
    """The actor's: owner, admin, member."""
    members: int
    projects: int
    created_at: datetime
    limits: Limits = field(default_factory=Limits)
    """What each run in its projects may cost at most."""


@dataclass(frozen=True, slots=True)
class MemberView:
    user_id: UUID
    name: str
    username: str
    avatar_url: str | None
    role: str
    joined_at: datetime


@dataclass(frozen=True, slots=True)
class InvitationView:
    """An invitation that can still be taken. Its link is known to who made it alone."""

    id: UUID
    role: str
    uses_left: int
    created_by: str
    """The person's name."""
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class NewInvitation:
    """One that has just been made: the only time that its token comes out."""

    invitation: InvitationView
    token: str = field(repr=False)
    url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Welcome:
    """What somebody with a link is told before they join."""

    team_id: UUID
    team: str
    role: str
    invited_by: str
    expires_at: datetime
    member: bool
    """Whether they are in the team already."""


@dataclass(frozen=True, slots=True)
class AuditView:
    id: int
    at: datetime
    actor_id: UUID
    actor: str
    """The person's name as it is now; empty for an account that is gone."""
    action: str
    """`team:*`, `member:*`, `invitation:*`, `project:*`, `run:*`."""
    subject: str
    details: dict[str, Any]
