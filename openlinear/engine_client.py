"""The one way from the product to the engine."""

from functools import lru_cache

from engine.client import Engine
from openlinear.settings import get_settings


@lru_cache
def engine_client() -> Engine:
    """This process's client, made when it is first needed."""
    return Engine(get_settings())


async def close() -> None:
    if engine_client.cache_info().currsize:
        await engine_client().close()
    engine_client.cache_clear()
