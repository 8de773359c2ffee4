"""What can run here, and why not where it cannot."""

import httpx
import pytest

from engine.models import Worker
from openlinear import db
from openlinear.services import accounts, providers
from openlinear.services.agents import NO_WORKER
from openlinear.services.views import Actor
from tests.support.product import PASSWORD


@pytest.fixture
async def hers(api: httpx.AsyncClient, ada: Actor) -> httpx.AsyncClient:
    async with db.transaction() as session:
        token, _ = await accounts.login(session, ada.email, PASSWORD, address="test")
    api.headers["Authorization"] = f"Bearer {token}"
    return api


async def test_an_agent_is_available_while_a_worker_can_run_it(hers: httpx.AsyncClient) -> None:
    agent = {"id": "opencode", "name": "OpenCode"}
    (found,) = (await hers.get("/api/agents")).json()["items"]
    assert found == {**agent, "available": False, "reason": NO_WORKER}
    async with db.transaction() as session:
        session.add(Worker(id="w1", name="main", version="1", sandbox="docker", trouble="Docker is away."))
    (found,) = (await hers.get("/api/agents")).json()["items"]
    assert found == {**agent, "available": False, "reason": "Docker is away."}
    async with db.transaction() as session:
        (await session.get_one(Worker, "w1")).trouble = None
    (found,) = (await hers.get("/api/agents")).json()["items"]
    assert found == {**agent, "available": True, "reason": None}


async def test_models_are_those_that_are_connected_and_those_that_could_be(
    hers: httpx.AsyncClient, ada: Actor
) -> None:
    async with db.transaction() as session:
        await providers.connect(session, ada, "local", None, base_url="https://llm.example.com", models=["m"])
    items = (await hers.get("/api/agents/opencode/models")).json()["items"]
    assert items[0] == {
        "id": "local/m",
        "providerId": "local",
        "provider": "local",
        "available": True,
        "reason": None,
    }
    others = [item for item in items if item["providerId"] == "anthropic"]
    assert others
    assert {item["available"] for item in others} == {False}
    assert {item["reason"] for item in others} == {"Connect Anthropic under Settings first."}
    assert (await hers.get("/api/agents/nobody/models")).status_code == 404


async def test_nobody_else_is_told(api: httpx.AsyncClient) -> None:
    for path in ("/api/agents", "/api/agents/opencode/models", "/api/inbox"):
        assert (await api.get(path)).status_code == 401
