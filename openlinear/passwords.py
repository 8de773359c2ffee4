"""Passwords, kept as bcrypt hashes. Hashing takes a good part of a second, so it runs in a thread.

Whoever calls waits in a queue, and holds no database connection meanwhile.
"""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import bcrypt

COST = 12
MIN_LENGTH = 8
MAX_BYTES = 72
"""bcrypt reads no further."""
THREADS = max(1, (os.cpu_count() or 2) - 1)
"""Of its own, so that many who log in hold up nothing else that runs in threads, and leave a core free."""

T = TypeVar("T")


async def hash_password(password: str) -> str:
    digest = await _apart(bcrypt.hashpw, password.encode(), bcrypt.gensalt(COST))
    return digest.decode()


async def matches(password: str, digest: str | None) -> bool:
    """Whether it is the password. Takes as long when there is no digest to compare with."""
    raw = password.encode(errors="surrogatepass")
    known = await _apart(_dummy) if digest is None else digest
    found = await _apart(bcrypt.checkpw, raw[:MAX_BYTES], known.encode())
    return found and digest is not None and len(raw) <= MAX_BYTES


async def _apart(work: Callable[..., T], *given: bytes) -> T:
    return await asyncio.get_running_loop().run_in_executor(_threads(), work, *given)


@lru_cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="bcrypt")


@lru_cache
def _dummy() -> str:
    return bcrypt.hashpw(b"nobody", bcrypt.gensalt(COST)).decode()
