"""Accounts and logins over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import SecretStr

from openlinear.api.security import (
    Me,
    Session,
    address_of,
    clear_cookie,
    refuse_other_origins,
    set_cookie,
)
from openlinear.api.shapes import LoggedIn, Shape, User
from openlinear.services import accounts

router = APIRouter(prefix="/api/auth", tags=["auth"])
Entry = Annotated[None, Depends(refuse_other_origins)]


class Registration(Shape):
    name: str
    email: str
    password: SecretStr


class Credentials(Shape):
    email: str
    password: SecretStr


@router.post("/register", status_code=201)
async def register(
    body: Registration, request: Request, response: Response, session: Session, _: Entry
) -> LoggedIn:
    password = body.password.get_secret_value()
    token, user = await accounts.register(
        session, body.name, body.email, password, address=address_of(request)
    )
    set_cookie(request, response, token)
    return LoggedIn(token=token, user=User.model_validate(user))


@router.post("/login")
async def login(
    body: Credentials, request: Request, response: Response, session: Session, _: Entry
) -> LoggedIn:
    password = body.password.get_secret_value()
    token, user = await accounts.login(session, body.email, password, address=address_of(request))
    set_cookie(request, response, token)
    return LoggedIn(token=token, user=User.model_validate(user))


@router.get("/me")
async def me(session: Session, actor: Me) -> User:
    return User.model_validate(await accounts.me(session, actor))


@router.post("/logout", status_code=204)
async def logout(response: Response, session: Session, actor: Me) -> None:
    await accounts.logout(session, actor)
    clear_cookie(response)
