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


@pytest.fixture(autouse=True)
async def nothing_left_running(stack: Stack, person: Person) -> AsyncIterator[None]:
    """A test that fails in the middle takes no slots from the next one."""
    yield
    query = "SELECT task_id FROM runs WHERE user_id = %s AND ended_at IS NULL"
    left = [{"id": str(task)} for (task,) in stack.rows(query, person.id)]
    for task in left:
        await person.http.post(f"/api/tasks/{task['id']}/cancel")
    for task in left:
        await person.ended(task)


@pytest.fixture
async def crowd(person: Person) -> AsyncIterator[Person]:
    """Ada, who may run ten tasks at once for the length of this test."""
    await person.ask("PATCH", "/settings", body={"parallelLimit": 10})
    yield person
    await person.ask("PATCH", "/settings", body={"parallelLimit": 3})
