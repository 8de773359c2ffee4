"""Passwords, kept as bcrypt hashes. Hashing takes a good part of a second, so it runs in a thread."""

import asyncio
from functools import lru_cache

import bcrypt

COST = 12
MIN_LENGTH = 8
MAX_BYTES = 72
"""bcrypt reads no further."""


async def hash_password(password: str) -> str:
    digest = await asyncio.to_thread(bcrypt.hashpw, password.encode(), bcrypt.gensalt(COST))
    return digest.decode()


async def matches(password: str, digest: str | None) -> bool:
    """Whether it is the password. Takes as long when there is no digest to compare with."""
    raw = password.encode(errors="surrogatepass")
    known = await asyncio.to_thread(_dummy) if digest is None else digest
    found = await asyncio.to_thread(bcrypt.checkpw, raw[:MAX_BYTES], known.encode())
    return found and digest is not None and len(raw) <= MAX_BYTES


@lru_cache
def _dummy() -> str:
    return bcrypt.hashpw(b"nobody", bcrypt.gensalt(COST)).decode()
