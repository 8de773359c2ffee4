"""One's own account over HTTP: the password, logins, access tokens. Not for access tokens themselves."""

from typing import Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field, SecretStr, StrictInt

from openlinear.api.fields import Time
from openlinear.api.projects import Limit
from openlinear.api.security import Me, Session
from openlinear.api.shapes import Items, Shape, page_of
from openlinear.services import first, logins, paging, resets, tokens

router = APIRouter(prefix="/api/account", tags=["account"])


class PasswordChange(Shape):
    current_password: SecretStr
    new_password: SecretStr


class Ended(Shape):
    ended: int = Field(description="How many logins and access tokens.")


class Login(Shape):
    id: UUID
    device: str
    address: str
    created_at: Time
    used_at: Time = Field(description="Within minutes.")
    expires_at: Time
    current: bool = Field(description="Whether it is the one that asks.")


class NewToken(Shape):
    name: str
    scope: Literal["read", "write"] = "read"
    days: StrictInt = Field(tokens.DAYS, description=f"How long it works, {tokens.MOST_DAYS} days at most.")


class Token(Shape):
    id: UUID
    name: str
    scope: str
    created_at: Time
    used_at: Time | None = Field(description="Within minutes.")
    expires_at: Time


class MadeToken(Token):
    """The only answer that holds the token."""

    token: str


class Claim(Shape):
    token: str = Field(max_length=200)


@router.post("/password")
async def change_password(body: PasswordChange, session: Session, actor: Me) -> Ended:
    """Ends all other logins and all access tokens."""
    current, new = body.current_password.get_secret_value(), body.new_password.get_secret_value()
    return Ended(ended=await resets.change(session, actor, current, new))


@router.get("/sessions")
async def list_logins(
    session: Session, actor: Me, limit: Limit = paging.LIMIT, cursor: str | None = None
) -> Items[Login]:
    return page_of(paging.sliced(await logins.list_logins(session, actor), cursor, limit), Login)


@router.delete("/sessions")
async def end_others(session: Session, actor: Me) -> Ended:
    """Ends all logins but the one that asks."""
    return Ended(ended=await logins.end_others(session, actor))


@router.delete("/sessions/{login_id}", status_code=204)
async def end_login(login_id: UUID, session: Session, actor: Me) -> None:
    await logins.end_login(session, actor, login_id)


@router.get("/tokens")
async def list_tokens(
    session: Session, actor: Me, limit: Limit = paging.LIMIT, cursor: str | None = None
) -> Items[Token]:
    return page_of(paging.sliced(await tokens.list_tokens(session, actor), cursor, limit), Token)


@router.post("/tokens", status_code=201)
async def make_token(body: NewToken, session: Session, actor: Me) -> MadeToken:
    made = await tokens.make(session, actor, body.name, body.scope, body.days)
    return MadeToken(**Token.model_validate(made.view).model_dump(), token=made.token)


@router.delete("/tokens/{token_id}", status_code=204)
async def revoke_token(token_id: UUID, session: Session, actor: Me) -> None:
    """Ends at once what is open with it."""
    await tokens.revoke(session, actor, token_id)


@router.post("/administrator", status_code=204)
async def become_administrator(body: Claim, session: Session, actor: Me) -> None:
    """Become the first administrator, by the link on the server's console."""
    await first.become(session, actor, body.token)
