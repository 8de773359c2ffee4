"""What doctor says of settings alone, without looking at anything."""

import pytest

from openlinear.doctor import web
from openlinear.doctor.finding import Ground
from openlinear.settings import Settings


@pytest.mark.parametrize(
    ("host", "public", "trusted", "level"),
    [
        ("127.0.0.1", "https://board.example.org", None, None),
        ("0.0.0.0", "http://board.example.org", None, None),
        ("0.0.0.0", "https://board.example.org", None, "warning"),
        ("0.0.0.0", "https://board.example.org", ",", "warning"),
        ("0.0.0.0", "https://board.example.org", "10.0.0.0/24", "ok"),
    ],
)
async def test_whom_the_server_believes_where_people_come_from(
    monkeypatch: pytest.MonkeyPatch, host: str, public: str, trusted: str | None, level: str | None
) -> None:
    monkeypatch.setenv("API_HOST", host)
    monkeypatch.setenv("PUBLIC_URL", public)
    if trusted is not None:
        monkeypatch.setenv("TRUSTED_PROXIES", trusted)
    finding = await web.proxies(Ground(Settings()))
    assert (finding and finding.level) == level
