"""What the environment may say, and what is refused."""

import secrets

import pytest
import uvicorn
from pydantic import ValidationError

from openlinear import processes
from openlinear.settings import Settings, weak


@pytest.mark.parametrize(
    "value",
    [
        "secret",
        "changeme",
        "x" * 64,
        "short-but-random-8f3",
        "changeme" + "0123456789abcdef" * 3,
        "my-very-long-and-quite-varied-jwt-secret",
    ],
)
def test_a_weak_secret_is_refused_with_the_cure(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("JWT_SECRET", value)
    with pytest.raises(ValidationError, match="openssl rand") as raised:
        Settings()
    assert f"={value}" not in raised.value.json(include_input=False)


def test_random_secrets_pass() -> None:
    assert not any(weak(secrets.token_urlsafe(32)) or weak(secrets.token_hex(32)) for _ in range(200))


def test_no_secret_shows_in_a_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    value = secrets.token_hex(32)
    for name in ("JWT_SECRET", "OPENLINEAR_SECRET_KEY", "GITHUB_CLIENT_SECRET"):
        monkeypatch.setenv(name, value)
    assert value not in repr(Settings())


def test_links_follow_the_port_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_PORT", "4000")
    assert Settings().public_url == "http://localhost:4000"
    assert Settings().github_redirect_uri == "http://localhost:4000/api/auth/github/callback"
    monkeypatch.setenv("PUBLIC_URL", "https://board.example.org/")
    assert Settings().public_url == "https://board.example.org"


@pytest.mark.parametrize("given", ["postgres://u@h/d", "postgresql://u@h/d", "postgresql+psycopg://u@h/d"])
def test_any_spelling_of_the_database_is_driven_by_psycopg(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", given)
    assert Settings().database_url == "postgresql+psycopg://u@h/d"


@pytest.mark.parametrize(
    ("public", "origins"),
    [
        ("", ["http://127.0.0.1:4000", "http://localhost:4000"]),
        ("http://127.0.0.1:8080", ["http://127.0.0.1:8080", "http://localhost:8080"]),
        ("https://Board.example.org:443/", ["https://board.example.org"]),
        ("https://board.example.org:8443", ["https://board.example.org:8443"]),
        ("http://[::1]:4000", ["http://[::1]:4000"]),
    ],
)
def test_our_pages_are_told_by_the_public_address(
    monkeypatch: pytest.MonkeyPatch, public: str, origins: list[str]
) -> None:
    monkeypatch.setenv("API_PORT", "4000")
    monkeypatch.setenv("PUBLIC_URL", public)
    assert Settings().origins == origins


@pytest.mark.parametrize("given", ["*", "proxy.internal", "10.0.0.1/8", "10.0.0.0/24;10.0.1.0/24"])
def test_a_proxy_is_an_address_or_a_network(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("TRUSTED_PROXIES", given)
    with pytest.raises(ValidationError, match="no address and no network"):
        Settings()


@pytest.mark.parametrize(
    ("given", "told"),
    [(None, "127.0.0.1,::1"), ("10.0.0.5, 10.1.0.0/16 ,", "10.0.0.5,10.1.0.0/16"), (",", "")],
)
def test_the_web_server_is_told_whose_word_counts(
    monkeypatch: pytest.MonkeyPatch, given: str | None, told: str
) -> None:
    if given is not None:
        monkeypatch.setenv("TRUSTED_PROXIES", given)
    argv = processes.web(Settings(), {}).argv
    read = uvicorn.main.make_context("uvicorn", [*argv[argv.index("uvicorn") + 1 :]])
    assert read.params["forwarded_allow_ips"] == told
