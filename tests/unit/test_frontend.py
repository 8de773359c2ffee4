"""What happens to the built pages after the build."""

import gzip
from pathlib import Path

import pytest

from openlinear import frontend
from openlinear.errors import StartError


def test_the_page_finds_its_server_where_it_came_from(tmp_path: Path) -> None:
    assets = tmp_path / "assets"
    assets.mkdir()
    built = assets / "reflex-env-1a2b.js"
    built.write_text(
        "var e={PING:`http://localhost:8000/ping`,EVENT:`ws://localhost:8000/_event`,TEST_MODE:!1};"
    )
    packed = assets / "reflex-env-1a2b.js.gz"
    packed.write_bytes(gzip.compress(built.read_bytes()))
    frontend._follow_the_page(tmp_path)
    text = built.read_text()
    assert "localhost" not in text
    assert "PING:`${location.origin}/ping`" in text
    assert "EVENT:`${location.origin.replace(/^http/,'ws')}/_event`" in text
    assert gzip.decompress(packed.read_bytes()).decode() == text


def test_a_build_of_another_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="reflex"):
        frontend._follow_the_page(tmp_path)


def test_a_changed_page_is_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frontend, "CHECKOUT", tmp_path)
    page = tmp_path / "openlinear" / "pages" / "board.py"
    page.parent.mkdir(parents=True)
    page.write_text("one")
    (tmp_path / "rxconfig.py").write_text("")
    (tmp_path / ".web").mkdir()
    assert not frontend.current()
    (tmp_path / ".web" / "openlinear.stamp").write_text(frontend._digest())
    assert frontend.current()
    page.write_text("two")
    assert not frontend.current()
