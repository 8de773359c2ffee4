"""Every error as `application/problem+json` (RFC 9457): what happened and the cure, never how."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic.alias_generators import to_camel
from starlette.exceptions import HTTPException

from openlinear.services.errors import Invalid, ServiceError, TooMany

log = logging.getLogger(__name__)

DETAILS = {
    404: "There is nothing at this address.",
    405: "This address does not take that method.",
    413: "The request's body may have at most 1 MB.",
}


class Problem(JSONResponse):
    media_type = "application/problem+json"

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        title: str | None = None,
        errors: Sequence[Mapping[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        content: dict[str, Any] = {
            "type": "about:blank",
            "title": title or HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
        }
        if errors is not None:
            content["errors"] = list(errors)
        super().__init__(content, status_code=status, headers=dict(headers or {}))


def install(app: FastAPI) -> None:
    app.add_exception_handler(ServiceError, _service)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _bug)


async def _service(_: Request, error: Exception) -> Problem:
    assert isinstance(error, ServiceError)  # noqa: S101 - what it is installed for
    headers = {}
    if isinstance(error, TooMany):
        headers["Retry-After"] = str(error.retry_after)
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    errors = None
    if isinstance(error, Invalid):
        errors = [{"field": field, "detail": reason} for field, reason in error.fields.items()]
    return Problem(error.status, str(error), title=error.title, errors=errors, headers=headers)


async def _validation(_: Request, error: Exception) -> Problem:
    """The fields and reasons alone: what was sent may be a secret."""
    assert isinstance(error, RequestValidationError)  # noqa: S101
    errors = [{"field": _field(found["loc"]), "detail": str(found["msg"])} for found in error.errors()]
    named = ", ".join(dict.fromkeys(found["field"] for found in errors))
    return Problem(422, f"Check these fields: {named}.", title=Invalid.title, errors=errors)


def _field(location: Sequence[str | int]) -> str:
    """`labels.0` of `("body", "labels", 0)`, `taskId` of `("path", "task_id")`; `body` when it is no JSON."""
    if location[:1] == ("path",):
        return to_camel(str(location[-1]))
    inner = location[1:] if location and location[0] in ("body", "query", "path", "header") else location
    return ".".join(str(part) for part in inner if not isinstance(part, int) or len(inner) > 1) or "body"


async def _http(_: Request, error: Exception) -> Problem:
    assert isinstance(error, HTTPException)  # noqa: S101
    detail = DETAILS.get(error.status_code, str(error.detail))
    return Problem(error.status_code, detail, headers=error.headers)


async def _bug(request: Request, error: Exception) -> Problem:
    """The traceback is the log's alone, which the server writes as well."""
    log.error("%s %s failed: %s", request.method, request.url.path, type(error).__name__)
    return Problem(500, "Something went wrong in OpenLinear itself. The server's log has more.")
