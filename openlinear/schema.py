"""Whether a database's tables are what this version wants: asked in milliseconds, at each start.

`migrate` leaves a mark in the database itself, so that a restored or another database is judged by
what it holds.
"""

import hashlib
from importlib.metadata import version

import psycopg

from engine import doorbell
from openlinear.resources import resource


def mark() -> str:
    """Names the migrations of this version, ours and the workflow library's."""
    digest = hashlib.sha256(version("dbos").encode() + doorbell.TRIGGER.encode())
    for path in sorted((resource("alembic") / "versions").glob("*.py")):
        digest.update(f"\n{path.name}\n".encode() + path.read_bytes())
    return f"openlinear {digest.hexdigest()[:32]}"


def current(url: str) -> bool:
    """Whether the last migration of this database was to this version. False too when nothing answers."""
    try:
        with psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://", 1)) as connection:
            row = connection.execute("SELECT obj_description(to_regnamespace('dbos'))").fetchone()
    except psycopg.Error:
        return False
    return row is not None and row[0] == mark()
