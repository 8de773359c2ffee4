"""The password of an agent server while the key that it derives from is replaced."""

from pydantic import SecretStr

from engine.sandbox.server import server_password
from engine.settings import EngineSettings


def _password(key: str) -> str:
    return server_password(EngineSettings(openlinear_secret_key=SecretStr(key)), "user", "container")


def test_workers_agree_while_the_key_is_replaced() -> None:
    assert _password("new, old") == _password("old")
    assert _password("new") != _password("old")
