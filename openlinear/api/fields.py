"""What the OpenAPI document says of fields beyond their types. The services check them, in sentences."""

from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from openlinear.services.access import ROLES
from openlinear.services.batches import MODES
from openlinear.services.fields import AGENTS, DESCRIPTION_LIMIT, PRIORITIES, STATUSES, TITLE_LIMIT
from openlinear.services.labels import COLORS, NAME_LIMIT
from openlinear.services.preferences import BEHAVIORS, NETWORKS


def _one_of(choices: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": list(choices)})


def _line(limit: int) -> WithJsonSchema:
    """Something that is seen, on one line."""
    return WithJsonSchema({"type": "string", "minLength": 1, "maxLength": limit, "pattern": r"^[^\x00]*\S"})


def _written(value: Any) -> Any:
    """Numbers would be taken for seconds since 1970."""
    if not isinstance(value, str):
        raise ValueError("must be written as YYYY-MM-DD")
    return value


Day = Annotated[date, BeforeValidator(_written)]
Time = Annotated[
    datetime, PlainSerializer(lambda time: time.astimezone(UTC), return_type=datetime, when_used="json")
]
"""In UTC, whatever time zone the database speaks in."""
Name = Annotated[str, _line(100)]
LabelName = Annotated[str, _line(NAME_LIMIT)]
Title = Annotated[str, _line(TITLE_LIMIT)]
Description = Annotated[str, WithJsonSchema({"type": "string", "maxLength": DESCRIPTION_LIMIT})]
Priority = Annotated[str, _one_of(PRIORITIES)]
Status = Annotated[str, _one_of(STATUSES)]
Agent = Annotated[str, _one_of(AGENTS)]
Mode = Annotated[str, _one_of(MODES)]
_LABEL = "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?"
Network = Annotated[str, _one_of(NETWORKS)]
Host = Annotated[
    str,
    WithJsonSchema(
        {
            "type": "string",
            "pattern": rf"^(\*\.)?{_LABEL}(\.{_LABEL}){{1,5}}(:[1-9][0-9]{{0,3}})?$",
        }
    ),
]
Behavior = Annotated[str, _one_of(BEHAVIORS)]
Color = Annotated[str, _one_of(COLORS)]
Role = Annotated[str, _one_of(ROLES)]
