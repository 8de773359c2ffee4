"""What goes over the wire: camelCase at every depth, and times in UTC."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

from openlinear.api.app import create_api
from openlinear.api.batches import Batch
from openlinear.api.shapes import Shape
from tests.unit.test_batch_rows import batch, member

CAMEL = re.compile(r"[a-z][A-Za-z0-9]*")
TASK = UUID(int=7)
SHOWN = {
    "label": "all of them",
    "passed": False,
    "command": "make",
    "exit_code": 2,
    "output": "",
    "seconds": 1.5,
}


def names_in(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value) | names_in(list(value.values()))
    return set().union(*map(names_in, value)) if isinstance(value, list) else set()


def shapes(of: type[Shape]) -> Iterator[type[Shape]]:
    for one in of.__subclasses__():
        yield one
        yield from shapes(one)


def test_a_batch_names_its_trials_and_clashes_as_the_rest_does() -> None:
    clash = {"taskId": str(TASK), "reference": "CART-4", "files": ["app.py"]}
    told = Batch.of(batch(member(clashes=[clash]), trials=(SHOWN,))).model_dump(mode="json", by_alias=True)
    assert told["tasks"][0]["clashes"] == [{"taskId": str(TASK), "identifier": "CART-4", "files": ["app.py"]}]
    assert told["trials"][0]["exitCode"] == 2
    assert {name for name in names_in(told) if not CAMEL.fullmatch(name)} == set()


def test_times_are_in_utc_wherever_they_come_from() -> None:
    there = timezone(timedelta(hours=5, minutes=30))
    view = batch(member(), created_at=datetime(2026, 11, 22, 17, 30, tzinfo=there))
    assert Batch.of(view).model_dump(mode="json")["created_at"] == "2026-11-22T12:00:00Z"
    create_api()  # knows them all
    for shape in shapes(Shape):
        for name, field in shape.model_fields.items():
            said = repr((field.annotation, field.metadata))
            assert "datetime.datetime" not in said or "PlainSerializer" in said, f"{shape.__name__}.{name}"


def test_every_name_in_the_document_is_camel_case() -> None:
    schemas = create_api().openapi()["components"]["schemas"]
    named = {name for schema in schemas.values() for name in schema.get("properties", {})}
    assert {name for name in named if not CAMEL.fullmatch(name)} == set()


def test_every_list_comes_in_pages() -> None:
    document = create_api().openapi()
    schemas = document["components"]["schemas"]
    lists = []
    for path, operations in document["paths"].items():
        answer = operations.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
        name = answer.get("application/json", {}).get("schema", {}).get("$ref", "").rpartition("/")[2]
        if "items" in schemas.get(name, {}).get("properties", {}):
            lists.append(path)
            taken = {one["name"] for one in operations["get"]["parameters"]}
            assert {"limit", "cursor"} <= taken, path
            assert "nextCursor" in schemas[name]["properties"], path
    assert len(lists) > 15
