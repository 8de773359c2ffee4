"""Secrets at rest: sealed with keys that never enter the database."""

import base64
import hashlib
import hmac
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from openlinear.settings import get_settings


class Unreadable(Exception):
    """What was sealed cannot be opened: the secret key is another one now."""


def seal(purpose: str, text: str) -> str:
    """Encrypt `text`; only the same purpose opens it again."""
    return _keys(_secret(), purpose).encrypt(text.encode()).decode()


def unseal(purpose: str, sealed: str) -> str:
    try:
        return _keys(_secret(), purpose).decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise Unreadable from None


def reseal(secret: str, purpose: str, sealed: str) -> str:
    """The same content, sealed by the first of this secret's keys. Unreadable where none of them opens it."""
    try:
        return _keys(secret, purpose).rotate(sealed.encode()).decode()
    except InvalidToken:
        raise Unreadable from None


def opens(secret: str, purpose: str, sealed: str) -> bool:
    """Whether this secret key, which may be another one than ours, opens it."""
    try:
        _keys(secret, purpose).decrypt(sealed.encode())
    except InvalidToken:
        return False
    return True


def checks(secret: str) -> list[str]:
    """A name for each key of a secret, by which it is recognised elsewhere; nothing leads back from it."""
    return [hashlib.sha256(_derive(part, "check")).hexdigest() for part in parts(secret)]


def signature(key: str, data: bytes) -> str:
    """What only a holder of this one key can say of `data`."""
    return hmac.digest(_derive(key, "signature"), data, "sha256").hex()


def parts(secret: str) -> list[str]:
    """The keys of a secret: several, comma-separated. The first seals, all open."""
    return [part.strip() for part in secret.split(",")]


def _secret() -> str:
    secret = get_settings().openlinear_secret_key.get_secret_value()
    if not secret:
        raise RuntimeError("OPENLINEAR_SECRET_KEY is unset: `openlinear up` generates it at the first start")
    return secret


@lru_cache(maxsize=32)
def _keys(secret: str, purpose: str) -> MultiFernet:
    """A key per purpose of each of `parts`."""
    return MultiFernet([Fernet(_derive(part, purpose)) for part in parts(secret)])


def _derive(secret: str, purpose: str) -> bytes:
    hkdf = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=f"openlinear/{purpose}".encode())
    return base64.urlsafe_b64encode(hkdf.derive(secret.encode()))
