"""What `/metrics` says after real runs and requests, and to whom."""

from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from engine import metrics
from engine.client import Engine
from openlinear.api import metrics as route
from openlinear.settings import get_settings

TOKEN = "b6589fc6ab0dc82cf12099d1c2d40ab994e8410c"
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing counted yet, and no answer remembered."""
    monkeypatch.setattr(metrics.totals, "_fresh", type(metrics.totals._fresh)(float))
    route._exposition.cache_clear()
    yield
    route._exposition.cache_clear()


def parsed(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def scraped(api: httpx.AsyncClient) -> Samples:
    answer = await api.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200, answer.text
    return parsed(answer.text)


@pytest.fixture
def token(product: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRICS_TOKEN", TOKEN)
    get_settings.cache_clear()


async def test_requests_are_counted_by_template(api: httpx.AsyncClient, token: None) -> None:
    for _ in range(3):
        await api.get(f"/api/tasks/{uuid4()}")
    await api.get("/api/secret-project-name")
    await api.request("BREW", "/api/tasks")
    samples = await scraped(api)
    counted = {labels: value for (name, labels), value in samples.items() if name.endswith("_requests_total")}
    assert counted[(("method", "GET"), ("route", "/api/tasks/{task_id}"), ("status", "401"))] == 3
    assert counted[(("method", "GET"), ("route", "/api/*"), ("status", "404"))] == 1
    assert not any("secret" in str(labels) or "BREW" in str(labels) for labels in counted)
