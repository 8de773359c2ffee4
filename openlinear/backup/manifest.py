"""What a backup says of itself."""

from datetime import datetime

from pydantic import BaseModel, Field

FORMAT = 1


class Entry(BaseModel):
    """One file of the archive."""

    size: int = Field(ge=0)
    """Bytes."""
    sha256: str


class Table(BaseModel):
    """One table: its columns, in the order of the copied text, and how many rows there are."""

    columns: list[str]
    rows: int = Field(ge=0)


class Manifest(BaseModel):
    """Read back after the hashes of all files are known, and checked against them."""

    version: str
    """Of the OpenLinear that made it."""
    made_at: datetime
    revisions: list[str]
    """Of the tables, as alembic numbers them."""
    sandbox: str | None
    """Where agents ran: told, not restored, since the next machine has what it has."""
    key_checks: list[str]
    """Recognise the keys that seal its secrets (`openlinear.vault.checks`); tell nothing about them."""
    sealed: int = Field(ge=0)
    """How many secrets in it need those keys."""
    tables: dict[str, Table]
    sequences: dict[str, int]
    entries: dict[str, Entry]
