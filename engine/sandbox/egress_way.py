"""The way out as the workers' containers have it: a socket, a relay to it, and what programs are told."""

from pathlib import Path, PurePosixPath
from uuid import UUID

from engine.settings import EngineSettings

FOLDER = PurePosixPath("/run/egress")
"""Where the folder with the user's socket shows up inside."""
PORT = 3128
_RELAY = Path(__file__).with_name("egress_relay.py").read_text()
_VARIABLES = {
    "http_proxy": f"http://127.0.0.1:{PORT}",
    "https_proxy": f"http://127.0.0.1:{PORT}",
    "no_proxy": "localhost,127.0.0.1,::1",
}
ENVIRONMENT = {
    **_VARIABLES,
    **{name.upper(): value for name, value in _VARIABLES.items()},
    "NODE_USE_ENV_PROXY": "1",
}
"""None of it is secret: whose way out it is, is told by the socket."""


def folder(settings: EngineSettings) -> Path:
    """What the engine and the proxy share."""
    return settings.openlinear_home.absolute() / "egress"


def sockets(settings: EngineSettings, user_id: UUID) -> Path:
    """The host folder that is mounted into this user's containers."""
    return folder(settings) / "sockets" / str(user_id)


def relay_command() -> list[str]:
    return ["python3", "-I", "-S", "-c", _RELAY, str(PORT), str(FOLDER / "proxy.sock")]
