"""Accounts and logins over HTTP."""

from fastapi import APIRouter, Request, Response
from pydantic import Field, SecretStr

from openlinear import mail
from openlinear.api.security import Entry, Me, Session, address_of, clear_cookie, device_of, set_cookie
from openlinear.api.shapes import LoggedIn, Shape, User
from openlinear.services import accounts, resets
from openlinear.settings import get_settings

router = APIRouter(prefix="/api/auth", tags=["auth"])


class Registration(Shape):
    name: str
    email: str
    password: SecretStr
    invitation: str | None = Field(
        None, max_length=200, description="What is in the link, where an account needs one."
    )


class Credentials(Shape):
    email: str
    password: SecretStr


class Rules(Shape):
    registration: str = Field(description="Who may make an account: open, invitation or closed.")
    mail: bool = Field(description="Whether a forgotten password is helped by mail.")


class Forgotten(Shape):
    email: str = Field(max_length=320)


class Reset(Shape):
    token: str = Field(max_length=200)
    new_password: SecretStr


@router.post("/register", status_code=201)
async def register(
    body: Registration, request: Request, response: Response, session: Session, _: Entry
) -> LoggedIn:
    password = body.password.get_secret_value()
    token, user = await accounts.register(
        session,
        body.name,
        body.email,
        password,
        address=address_of(request),
        device=device_of(request),
        invitation=body.invitation,
    )
    set_cookie(request, response, token)
    return LoggedIn(token=token, user=User.model_validate(user))


@router.post("/login")
async def login(
    body: Credentials, request: Request, response: Response, session: Session, _: Entry
) -> LoggedIn:
    password = body.password.get_secret_value()
    token, user = await accounts.login(
        session, body.email, password, address=address_of(request), device=device_of(request)
    )
    set_cookie(request, response, token)
    return LoggedIn(token=token, user=User.model_validate(user))


@router.get("/registration")
async def rules() -> Rules:
    """What somebody without an account may do, for the pages before signing in."""
    return Rules(registration=get_settings().registration, mail=mail.configured())


@router.post("/forgot", status_code=202)
async def forgot(body: Forgotten, request: Request, _: Entry) -> None:
    """Send a link to a new password. The same answer, as fast, for an email of nobody's."""
    await resets.ask(body.email, address=address_of(request))


@router.post("/reset", status_code=204)
async def reset(body: Reset, request: Request, session: Session, _: Entry) -> None:
    """A new password by such a link. Ends all of the account's logins and access tokens, and disconnects
    accounts elsewhere that sign in to it.
    """
    new = body.new_password.get_secret_value()
    await resets.reset(session, body.token, new, address=address_of(request))


@router.get("/me")
async def me(session: Session, actor: Me) -> User:
    return User.model_validate(await accounts.me(session, actor))


@router.post("/logout", status_code=204)
async def logout(response: Response, session: Session, actor: Me) -> None:
    await accounts.logout(session, actor)
    clear_cookie(response)
