"""How a user's tasks are run, and with whose keys."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from openlinear.models.columns import time


class Preferences(SQLModel, table=True):
    """A user's execution settings; no row means the defaults."""

    __tablename__ = "settings"

    user_id: UUID = Field(foreign_key="users.id", ondelete="CASCADE", primary_key=True)
    parallel_limit: int = 3
    max_batch_size: int = 3
    auto_approve: bool = False
    stop_on_failure: bool = False
    conflict_behavior: str = "skip"
    build_on_previous: bool = False
    """In a queue, a task begins with its predecessors' results."""
    network: str | None = None
    """What their agents reach: open, listed or none; without a choice, the operator's default."""
    network_hosts: list[str] = Field(default_factory=list, sa_column=Column(JSONB, nullable=False))
    """Hosts that this user added to the listed ones."""
    limits: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSONB, nullable=False))
    """What each of this user's runs may cost at most (`engine.limits.Limits`)."""


class Provider(SQLModel, table=True):
    """A model provider that a user connected, with the key sealed."""

    __tablename__ = "provider_keys"

    user_id: UUID = Field(foreign_key="users.id", ondelete="CASCADE", primary_key=True)
    provider_id: str = Field(primary_key=True)
    key_secret: str = Field(sa_type=Text)
    account_secret: str | None = Field(default=None, sa_type=Text)
    """In place of a key: what the agent keeps of an account at the provider, sealed."""
    account_expires: int | None = Field(default=None, sa_type=BigInteger)
    """When its token does, in Unix milliseconds: of two renewals the later one stays."""
    base_url: str | None = Field(default=None, sa_type=Text)
    models: list[str] = Field(default_factory=list, sa_column=Column(JSONB, nullable=False))
    created_at: datetime = time()


class ProviderSignIn(SQLModel, table=True):
    """A sign-in at a provider's page that a user has begun; a second one replaces the first."""

    __tablename__ = "provider_sign_ins"

    user_id: UUID = Field(foreign_key="users.id", ondelete="CASCADE", primary_key=True)
    provider_id: str = Field(primary_key=True)
    method: int
    code_secret: str | None = Field(default=None, sa_type=Text)
    """What the engine fetches next, sealed, for the moment until it has it: what a sign-in begins with, then
    the code that the page gave."""
    began_at: datetime = time()
