"""The caller's repositories at GitHub."""

from typing import Annotated

from fastapi import APIRouter, Query

from openlinear.api.fields import Time
from openlinear.api.security import Me
from openlinear.api.shapes import Items, Shape, page_of
from openlinear.services import github, paging

router = APIRouter(prefix="/api/repos", tags=["projects"])
Limit = Annotated[int, Query(ge=1, le=paging.MOST)]
Search = Annotated[str, Query(max_length=200)]


class Repository(Shape):
    name: str
    full_name: str
    private: bool
    clone_url: str
    default_branch: str
    pushed_at: Time | None
    can_push: bool


@router.get("/github", responses={409: {}})
async def index(
    actor: Me, limit: Limit = paging.LIMIT, cursor: str | None = None, q: Search = ""
) -> Items[Repository]:
    """What was pushed to last first. 409 where GitHub is not connected, with the cure."""
    return page_of(await github.repositories(actor, q=q, limit=limit, cursor=cursor), Repository)
