"""Files that are not Python: beside the packages in a checkout, inside them in a wheel."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGE = Path(__file__).parent
CHECKOUT = PACKAGE.parent


def resource(name: str) -> Path:
    """Where `name` ("alembic", "scripts/docker-up") is, whichever way OpenLinear was installed."""
    packed = PACKAGE / "_files" / name
    return packed if packed.exists() else CHECKOUT / name


def installed() -> str:
    """Which version this is; `unknown` where it runs without having been installed."""
    try:
        return version("openlinear")
    except PackageNotFoundError:
        return "unknown"
