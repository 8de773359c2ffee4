"""People, their logins, and how often somebody tried."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, Column, Identity, Index, text
from sqlmodel import Field, SQLModel

from openlinear.models.columns import belongs, time


class User(SQLModel, table=True):
    __tablename__ = "users"
    __table_args__ = (Index("users_email", text("lower(email)"), unique=True),)

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    name: str
    username: str = Field(unique=True)
    """Derived from the name; a number keeps it apart from others."""
    email: str
    password_hash: str | None = None
    """bcrypt; None for an account that signs in elsewhere only."""
    avatar_url: str | None = None
    github_id: int | None = Field(default=None, sa_column=Column(BigInteger, unique=True))
    created_at: datetime = time()


class AuthSession(SQLModel, table=True):
    """A login. Its id is the token's `jti`, so that revoking the row ends the token at once."""

    __tablename__ = "auth_sessions"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    user_id: UUID = belongs("users.id")
    created_at: datetime = time()
    expires_at: datetime = time()
    revoked_at: datetime | None = time(nullable=True)


class Attempt(SQLModel, table=True):
    """One try at something that may be tried so often only. `key` is a digest, never an address."""

    __tablename__ = "attempts"
    __table_args__ = (Index("attempts_by_key", "key", "tried_at"),)

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    key: str
    tried_at: datetime = time()
