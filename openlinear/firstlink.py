"""The link by which an account becomes the first administrator.

What is in it is derived from `JWT_SECRET`, so that every process and every start knows it and nothing is
kept. It is good as long as there is no administrator; since the last one stays, it is taken once.
"""

import base64
import hashlib
import hmac

import psycopg

BYTES = 15


def token(jwt_secret: str) -> str:
    """What is in the link: 24 letters and digits."""
    made = hmac.digest(jwt_secret.encode(), b"openlinear first administrator", hashlib.sha256)[:BYTES]
    return base64.b32encode(made).decode().lower()


def address(public_url: str, jwt_secret: str) -> str:
    """The link. Browsers send nobody what is behind the `#`."""
    return f"{public_url}/administrator#{token(jwt_secret)}"


def wanted(database_url: str) -> bool:
    """Whether there is no administrator. False too when nothing answers."""
    plain = database_url.replace("postgresql+psycopg://", "postgresql://", 1)
    try:
        with psycopg.connect(plain) as connection:
            row = connection.execute("SELECT 1 FROM users WHERE admin LIMIT 1").fetchone()
    except psycopg.Error:
        return False
    return row is None
