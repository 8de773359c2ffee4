"""Teams over HTTP."""

from uuid import UUID

from fastapi import APIRouter

from openlinear.api.projects import Limit
from openlinear.api.security import Me, Session
from openlinear.api.shapes import Items, page_of
from openlinear.api.team_shapes import (
    AuditEntry,
    Invitation,
    InvitationLink,
    Join,
    Member,
    NewInvitation,
    NewTeam,
    RoleChange,
    Team,
    TeamChange,
)
from openlinear.services import audit, invitations, members, paging, teams

router = APIRouter(prefix="/api/teams", tags=["teams"])


@router.get("")
async def index(
    session: Session, actor: Me, limit: Limit = paging.LIMIT, cursor: str | None = None
) -> Items[Team]:
    return page_of(paging.sliced(await teams.list_teams(session, actor), cursor, limit), Team)


@router.post("", status_code=201)
async def create(body: NewTeam, session: Session, actor: Me) -> Team:
    """The caller becomes its owner."""
    return Team.model_validate(await teams.create_team(session, actor, body.name, body.key))


@router.post("/join")
async def join(body: Join, session: Session, actor: Me) -> Team:
    """Enter the team that an invitation's token is for."""
    return Team.model_validate(await invitations.join(session, actor, body.token))


@router.get("/{team_id:uuid}")
async def show(team_id: UUID, session: Session, actor: Me) -> Team:
    return Team.model_validate(await teams.get_team(session, actor, team_id))


@router.patch("/{team_id:uuid}")
async def update(team_id: UUID, body: TeamChange, session: Session, actor: Me) -> Team:
    patch = teams.TeamPatch(body.name, body.limits.patch() if body.limits else None)
    return Team.model_validate(await teams.update_team(session, actor, team_id, patch))


@router.delete("/{team_id:uuid}", status_code=204)
async def delete(team_id: UUID, session: Session, actor: Me) -> None:
    """409 while it has projects."""
    await teams.delete_team(session, actor, team_id)


@router.get("/{team_id}/members")
async def list_members(
    team_id: UUID, session: Session, actor: Me, limit: Limit = paging.LIMIT, cursor: str | None = None
) -> Items[Member]:
    found = await members.list_members(session, actor, team_id)
    return page_of(paging.sliced(found, cursor, limit), Member)


@router.post("/{team_id}/members", status_code=201)
async def invite(
    team_id: UUID, session: Session, actor: Me, body: NewInvitation | None = None
) -> InvitationLink:
    """Make a link that lets somebody in; it is shown once. Nobody is put into a team unasked."""
    given = (body or NewInvitation()).model_dump()
    made = await invitations.invite(session, actor, team_id, **given)
    shown = Invitation.model_validate(made.invitation).model_dump()
    return InvitationLink(**shown, token=made.token, url=made.url)


@router.patch("/{team_id}/members/{user_id}")
async def set_role(team_id: UUID, user_id: UUID, body: RoleChange, session: Session, actor: Me) -> Member:
    return Member.model_validate(await members.set_role(session, actor, team_id, user_id, body.role))


@router.delete("/{team_id}/members/{user_id}", status_code=204)
async def remove_member(team_id: UUID, user_id: UUID, actor: Me) -> None:
    """Take somebody out, or leave. Their open runs in the team's projects are cancelled."""
    await members.remove_member(actor, team_id, user_id)


@router.get("/{team_id}/invitations")
async def list_invitations(
    team_id: UUID, session: Session, actor: Me, limit: Limit = paging.LIMIT, cursor: str | None = None
) -> Items[Invitation]:
    """Those that can still be taken, without their links."""
    found = await invitations.list_invitations(session, actor, team_id)
    return page_of(paging.sliced(found, cursor, limit), Invitation)


@router.delete("/{team_id}/invitations/{invitation_id}", status_code=204)
async def revoke(team_id: UUID, invitation_id: UUID, session: Session, actor: Me) -> None:
    await invitations.revoke(session, actor, team_id, invitation_id)


@router.get("/{team_id}/audit")
async def show_audit(
    team_id: UUID, session: Session, actor: Me, limit: Limit = paging.LIMIT, cursor: str | None = None
) -> Items[AuditEntry]:
    """Who did what, the latest first. For the team's owners and admins."""
    return page_of(await audit.of_team(session, actor, team_id, limit=limit, cursor=cursor), AuditEntry)
