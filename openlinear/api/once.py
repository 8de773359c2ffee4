"""`Idempotency-Key`: what a client is unsure of, it sends again without a second effect."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Header, Request
from pydantic import BaseModel
from sqlmodel.ext.asyncio.session import AsyncSession

from openlinear.services import idempotency
from openlinear.services.views import Actor

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Repeatable:
    """A request that may come twice; without a key it is one that comes once."""

    key: str | None
    request: bytes
    """What tells it from others."""

    async def answer(
        self, session: AsyncSession, actor: Actor, shape: type[M], work: Callable[[], Awaitable[M]]
    ) -> M:
        """What `work` answers, or what it answered the first time. In one transaction with its effect."""
        if self.key is None:
            return await work()
        known = await idempotency.earlier(session, actor, self.key, self.request)
        if known is not None:
            return shape.model_validate(known)
        answer = await work()
        await idempotency.keep(session, actor, self.key, answer.model_dump(mode="json", by_alias=True))
        return answer


async def _repeatable(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=255,
            pattern=r"^[\x21-\x7e]+$",
            description="Sent again within 24 hours, the request is answered as before and does nothing.",
        ),
    ] = None,
) -> Repeatable:
    """The body counts by what it says, not by how it is written. Without a key it is not looked at."""
    if idempotency_key is None:
        return Repeatable(None, b"")
    try:
        body = json.dumps(json.loads(await request.body() or b"null"), sort_keys=True)
    except (ValueError, RecursionError):
        body = ""  # it is refused for that
    return Repeatable(idempotency_key, f"{request.method} {request.url.path}\n{body}".encode())


Once = Annotated[Repeatable, Depends(_repeatable)]
