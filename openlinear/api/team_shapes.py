"""What goes over the wire about teams."""

from typing import Any
from uuid import UUID

from pydantic import ConfigDict, Field, StrictInt

from openlinear.api.fields import Name, Role, Time
from openlinear.api.shapes import Limits, LimitsChange, Shape
from openlinear.services import invitations


class Team(Shape):
    id: UUID
    name: str
    key: str
    role: str = Field(description="The caller's: owner, admin or member.")
    members: int
    projects: int
    limits: Limits
    created_at: Time


class NewTeam(Shape):
    name: Name
    key: str | None = Field(None, description="In front of its task numbers; made of the name by default.")


class TeamChange(Shape):
    name: Name | None = None
    limits: LimitsChange | None = None


class Member(Shape):
    user_id: UUID
    name: str
    username: str
    avatar_url: str | None
    role: str
    joined_at: Time


class RoleChange(Shape):
    role: Role


class NewInvitation(Shape):
    """Of a link. Nobody is put into a team by their name or email, so any such field is refused."""

    model_config = ConfigDict(**Shape.model_config, extra="forbid")

    role: str = Field("member", description="member or admin.")
    days: StrictInt = Field(invitations.DAYS, description="How long the link works.")
    uses: StrictInt = Field(1, description="How many people may take it.")


class Invitation(Shape):
    id: UUID
    role: str
    uses_left: int
    created_by: str
    created_at: Time
    expires_at: Time


class InvitationLink(Invitation):
    """The only answer that holds the link."""

    token: str
    url: str


class Join(Shape):
    token: str = Field(max_length=200)


class AuditEntry(Shape):
    id: int
    at: Time
    actor_id: UUID
    actor: str
    action: str
    subject: str
    details: dict[str, Any]
