from pathlib import Path

import pytest

from openlinear.settings import get_settings
from tests.integration.permissions.world import World, build
from tests.support.product import MakeActor


@pytest.fixture
async def world(make_actor: MakeActor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """For this many calls in a minute; to be asked for before what reads the settings."""
    monkeypatch.setenv("OPENLINEAR_HOME", str(tmp_path))
    for name in ("GITHUB_CLIENT_ID", "GITHUB_CLIENT_SECRET"):
        monkeypatch.setenv(name, "of-a-test")
    for name in ("REQUESTS_PER_MINUTE", "REQUESTS_PER_MINUTE_PER_ADDRESS"):
        monkeypatch.setenv(name, "1000000")
    get_settings.cache_clear()
    return await build(make_actor, tmp_path)
