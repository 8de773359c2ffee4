"""People, their logins and access tokens, one-time links, and how often somebody tried."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, Column, ForeignKey, Identity, Index, text
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
    admin: bool = False
    """An administrator of this installation, who sees all accounts and no more of others' projects."""
    disabled_at: datetime | None = time(nullable=True)
    """Since when nobody may sign in as them."""
    seen_at: datetime | None = time(nullable=True)
    """When they last did something, within minutes."""
    created_at: datetime = time()


class AuthSession(SQLModel, table=True):
    """A login. Its id is the token's `jti`, so that revoking the row ends the token at once."""

    __tablename__ = "auth_sessions"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    user_id: UUID = belongs("users.id")
    device: str = ""
    """What signed in, in a few words; empty where nothing is known."""
    address: str = ""
    created_at: datetime = time()
    used_at: datetime = time()
    """Within minutes."""
    expires_at: datetime = time()
    revoked_at: datetime | None = time(nullable=True)


class AccessToken(SQLModel, table=True):
    """What a program acts with in its owner's name. The token itself is kept as a digest alone."""

    __tablename__ = "access_tokens"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    user_id: UUID = belongs("users.id")
    name: str
    scope: str
    """read or write."""
    token_hash: str = Field(unique=True)
    created_at: datetime = time()
    used_at: datetime | None = time(nullable=True)
    """Within minutes."""
    expires_at: datetime = time()
    revoked_at: datetime | None = time(nullable=True)


class OneTimeLink(SQLModel, table=True):
    """A link that does one thing once. What is in the link is kept as a digest alone."""

    __tablename__ = "one_time_links"

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    purpose: str
    """invitation (to an account), or reset (of a password)."""
    token_hash: str = Field(unique=True)
    user_id: UUID | None = Field(
        default=None, sa_column=Column(ForeignKey("users.id", ondelete="CASCADE"), nullable=True, index=True)
    )
    """Whose password; None for an invitation."""
    created_by: UUID | None = Field(
        default=None, sa_column=Column(ForeignKey("users.id", ondelete="SET NULL"), nullable=True)
    )
    """The administrator who made it; None for the command line and the mail."""
    created_at: datetime = time()
    expires_at: datetime = time()


class Attempt(SQLModel, table=True):
    """One try at something that may be tried so often only. `key` is a digest, never an address."""

    __tablename__ = "attempts"
    __table_args__ = (Index("attempts_by_key", "key", "tried_at"),)

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    key: str
    tried_at: datetime = time()
