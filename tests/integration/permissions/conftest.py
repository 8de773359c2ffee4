from pathlib import Path

import pytest

from openlinear.settings import get_settings
from tests.integration.permissions.world import World, build
from tests.support.product import MakeActor


@pytest.fixture
async def world(make_actor: MakeActor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("OPENLINEAR_HOME", str(tmp_path))
    get_settings.cache_clear()
    return await build(make_actor, tmp_path)
