"""The one way from the product to the engine."""

from engine.batches.client import Batches
from engine.client import Engine
from engine.storage import Storage
from openlinear.settings import get_settings

_client: Engine | None = None


def engine_client() -> Engine:
    """This process's client, made when it is first needed."""
    global _client  # noqa: PLW0603 - one per process is what it is for
    if _client is None:
        _client = Engine(get_settings())
    return _client


def storage_client() -> Storage:
    """The same for what the engine stores."""
    return Storage(get_settings(), engine_client())


def batches_client() -> Batches:
    """The same for batches."""
    return Batches()


async def close() -> None:
    """Give the connections back; the next use opens new ones."""
    global _client  # noqa: PLW0603
    if _client is not None:
        await _client.close()
    _client = None
