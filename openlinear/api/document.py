"""The OpenAPI document, made true: what every route may answer besides success.

FastAPI writes down what it checks itself. What all routes have in common is said here, once.
"""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from openlinear.api.problems import DETAILS

Json = dict[str, Any]

PROBLEM: Json = {
    "type": "object",
    "description": "RFC 9457: what happened and the cure, for a person.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "description": "Per field, for 422.",
            "items": {
                "type": "object",
                "required": ["field", "detail"],
                "properties": {"field": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}
REASONS = {
    400: "The body cannot be read.",
    401: "Nobody is signed in.",
    403: "The caller may see it, but not do this.",
    404: "It is not there, or the caller may not see it.",
    409: "It conflicts with how things stand.",
    413: DETAILS[413],
    422: "Something that was sent cannot be.",
    429: "Too many requests; `Retry-After` says when to come back.",
    503: "Something that this needs is away.",
}
ALWAYS = (422, 429, 503)


def install(app: FastAPI) -> None:
    def document() -> Json:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _complete(app: FastAPI) -> Json:
    made = get_openapi(title=app.title, version=app.version, routes=app.routes, description=app.description)
    for path, operations in made["paths"].items():
        for method, operation in operations.items():
            for status in _refusals(method, operation) if path.startswith("/api/") else ():
                operation["responses"][str(status)] = _refusal(status)
    schemas = made["components"]["schemas"]
    schemas["Problem"] = PROBLEM
    for replaced in ("HTTPValidationError", "ValidationError"):
        schemas.pop(replaced, None)
    return made


def _refusals(method: str, operation: Json) -> Iterator[int]:
    """What this route may answer besides success: `responses={409: {}}` on a route adds what is its own."""
    yield from ALWAYS
    yield from (status for status in REASONS if str(status) in operation["responses"])
    writes = method != "get"
    if writes or "security" in operation:
        yield from (401, 403, 404)
    if writes:
        yield from (400, 409, 413)


def _refusal(status: int) -> Json:
    answer: Json = {
        "description": REASONS[status],
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        answer["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return answer
