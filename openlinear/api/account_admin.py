"""All accounts over HTTP, for administrators of the installation."""

from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from openlinear.api.fields import Time
from openlinear.api.projects import Limit
from openlinear.api.security import Me, Session
from openlinear.api.shapes import Items, Shape, page_of
from openlinear.services import administration, paging

router = APIRouter(prefix="/api/admin", tags=["administration"])


class Account(Shape):
    id: UUID
    name: str
    username: str
    email: str
    admin: bool
    disabled: bool
    created_at: Time
    seen_at: Time | None = Field(description="Within minutes.")


class AccountChange(Shape):
    admin: bool | None = None
    disabled: bool | None = None


class AccountInvitation(Shape):
    id: UUID
    created_by: str
    created_at: Time
    expires_at: Time


class AccountInvitationLink(Shape):
    """The only answer that holds the link."""

    url: str


@router.get("/accounts")
async def index(
    session: Session, actor: Me, limit: Limit = paging.LIMIT, cursor: str | None = None
) -> Items[Account]:
    return page_of(await administration.list_accounts(session, actor, limit=limit, cursor=cursor), Account)


@router.patch("/accounts/{user_id}")
async def update(user_id: UUID, body: AccountChange, actor: Me) -> Account:
    """Disabling ends the account's logins, access tokens and runs. 409 for the last administrator."""
    changed = await administration.change_account(actor, user_id, admin=body.admin, disabled=body.disabled)
    return Account.model_validate(changed)


@router.get("/invitations")
async def list_invitations(
    session: Session, actor: Me, limit: Limit = paging.LIMIT, cursor: str | None = None
) -> Items[AccountInvitation]:
    """Those that can still be taken, without their links."""
    found = await administration.list_invitations(session, actor)
    return page_of(paging.sliced(found, cursor, limit), AccountInvitation)


@router.post("/invitations", status_code=201)
async def invite(session: Session, actor: Me) -> AccountInvitationLink:
    """A link by which one person may make an account; it is shown once."""
    return AccountInvitationLink.model_validate(await administration.invite(session, actor))


@router.delete("/invitations/{invitation_id}", status_code=204)
async def revoke(invitation_id: UUID, session: Session, actor: Me) -> None:
    await administration.revoke_invitation(session, actor, invitation_id)
