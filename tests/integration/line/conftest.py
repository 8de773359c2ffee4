"""Who runs the tests of the line. Named here: elsewhere `person` is one without a worker."""

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.support.stack import Person, Stack, register


@pytest.fixture(scope="session")
async def person(stack: Stack) -> AsyncIterator[Person]:
    """Ada, with the scripted model connected; her container is shared by the tests."""
    async with httpx.AsyncClient(base_url=stack.url, timeout=40) as http:
        registered = await register(stack, http, "Ada Lovelace", "ada@example.org")
        await registered.connect_model()
        yield registered


@pytest.fixture
async def crowd(person: Person) -> AsyncIterator[Person]:
    """Ada, who may run ten tasks at once for the length of this test."""
    await person.ask("PATCH", "/settings", body={"parallelLimit": 10})
    yield person
    await person.ask("PATCH", "/settings", body={"parallelLimit": 3})
