"""Signing in with GitHub or an identity provider, and connecting them, over HTTP."""

from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import Field

from openlinear.api.projects import Limit
from openlinear.api.security import Entry, Me, Session, address_of, device_of, set_cookie
from openlinear.api.shapes import Items, Shape, page_of
from openlinear.outside import providers
from openlinear.outside.provider import ProviderId, Trouble
from openlinear.services import identities, paging, sign_in
from openlinear.services.errors import Conflict, TooMany
from openlinear.services.logins import COOKIE as SESSION_COOKIE
from openlinear.services.sign_in import Ended, Returned
from openlinear.settings import get_settings

router = APIRouter(prefix="/api/auth", tags=["auth"])
PROVIDERS: tuple[ProviderId, ...] = ("github", "oidc")
COOKIE = "openlinear_sign_in"
FOLDER = "/api/auth"
LOGIN = "/login"


class Offer(Shape):
    id: str
    name: str


class Offers(Items[Offer]):
    trouble: str


class Identity(Shape):
    provider: str
    name: str
    login: str | None
    scopes: list[str]


class Start(Shape):
    next: str = Field("", max_length=500, description="Where to go afterwards: an address of our own pages.")
    invitation: str | None = Field(None, max_length=200, description="For an account that needs one.")


class Destination(Shape):
    url: str = Field(description="Where this browser goes on, at the provider.")


@router.get("/ways")
async def offered(
    trouble: str = "", by: str = "", limit: Limit = paging.LIMIT, cursor: str | None = None
) -> Offers:
    """Which providers the sign-in page offers, and what a sign-in that failed (`trouble`, `by`) means."""
    page = paging.sliced(providers.configured(), cursor, limit)
    items = [Offer(id=one.id, name=one.name) for one in page.items]
    return Offers(items=items, next_cursor=page.next_cursor, trouble=sign_in.trouble_words(trouble, by))


@router.get("/identities")
async def connected(
    session: Session, actor: Me, limit: Limit = paging.LIMIT, cursor: str | None = None
) -> Items[Identity]:
    """The caller's ways to sign in beside the password; `login` is null where one is not connected."""
    return page_of(paging.sliced(await identities.list_ways(session, actor), cursor, limit), Identity)


def _routes(provider: ProviderId) -> None:
    """The routes of one provider, each at an address of its own: the one behind `callback` is registered
    with the provider.
    """

    @router.get(
        f"/{provider}",
        status_code=303,
        response_class=RedirectResponse,
        name=f"sign in with {provider}",
        operation_id=f"sign_in_with_{provider}",
        responses={404: {}},
    )
    async def begin(request: Request, next: str = "") -> Response:
        """Go to the provider. 404 where this server is not set up for it."""
        sign_in.provider_of(provider)
        try:
            begun = await sign_in.begin(provider, wanted=next, address=address_of(request))
        except Trouble as error:
            return _back(provider, Ended(sign_in.own_path(next), trouble=error.code))
        except TooMany:
            return _back(provider, Ended(sign_in.own_path(next), trouble="busy"))
        return _with_flow(_redirect(begun.url), begun.sealed)

    @router.post(f"/{provider}", name=f"begin with {provider}", operation_id=f"begin_with_{provider}")
    async def post_begin(body: Start, request: Request, response: Response, _: Entry) -> Destination:
        """The same for our own pages, which may hold an invitation: that belongs in no address."""
        wanted = {"wanted": body.next, "address": address_of(request), "invitation": body.invitation}
        return await _away(provider, response, **wanted)

    @router.get(
        f"/{provider}/callback",
        status_code=303,
        response_class=RedirectResponse,
        name=f"return from {provider}",
        operation_id=f"return_from_{provider}",
        responses={404: {}},
    )
    async def back(
        request: Request, state: str | None = None, code: str | None = None, error: str | None = None
    ) -> Response:
        """Come back from the provider. The session is in the cookie of the answer, never in an address."""
        sign_in.provider_of(provider)
        ended = await sign_in.end(
            provider,
            request.cookies.get(COOKIE),
            Returned(state, code, error),
            session_token=request.cookies.get(SESSION_COOKIE),
            address=address_of(request),
            device=device_of(request),
        )
        answer = _back(provider, ended)
        if ended.token is not None:
            set_cookie(request, answer, ended.token)
        secure = get_settings().behind_tls
        answer.delete_cookie(COOKIE, path=FOLDER, secure=secure, httponly=True, samesite="lax")
        return answer

    @router.post(
        f"/identities/{provider}",
        name=f"connect {provider}",
        operation_id=f"connect_{provider}",
    )
    async def connect(body: Start, request: Request, response: Response, actor: Me) -> Destination:
        """Begin to connect the caller's account: `url` is where this browser goes on."""
        wanted = {"wanted": body.next, "address": address_of(request), "actor": actor}
        return await _away(provider, response, **wanted)

    @router.delete(
        f"/identities/{provider}",
        status_code=204,
        name=f"disconnect {provider}",
        operation_id=f"disconnect_{provider}",
    )
    async def disconnect(session: Session, actor: Me) -> None:
        """Forget the caller's account there and its token. 409 where it is their only way in."""
        await identities.disconnect(session, actor, provider)


for _provider in PROVIDERS:
    _routes(_provider)


async def _away(provider: str, response: Response, **wanted: Any) -> Destination:
    try:
        begun = await sign_in.begin(provider, **wanted)
    except Trouble as error:
        raise Conflict(sign_in.trouble_words(error.code, provider)) from None
    _with_flow(response, begun.sealed)
    return Destination(url=begun.url)


def _back(provider: str, ended: Ended) -> Response:
    """Where the browser goes from here: always one of our own pages."""
    if ended.trouble is None:
        return _redirect(ended.path)
    told = {"trouble": ended.trouble, "by": provider}
    if ended.connecting:
        return _redirect(f"{ended.path.partition('?')[0]}?{urlencode(told)}")
    return _redirect(f"{LOGIN}?{urlencode({**told, 'next': ended.path})}")


def _redirect(url: str) -> Response:
    return RedirectResponse(url, status_code=303)


def _with_flow(answer: Response, sealed: str) -> Response:
    answer.set_cookie(
        COOKIE,
        sealed,
        max_age=sign_in.SECONDS,
        path=FOLDER,
        secure=get_settings().behind_tls,
        httponly=True,
        samesite="lax",
    )
    return answer
