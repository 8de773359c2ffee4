"""Who somebody is elsewhere: the accounts at GitHub or an identity provider that they sign in with."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import Column, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from openlinear.models.columns import belongs, time


class Identity(SQLModel, table=True):
    """One for each provider of a user. A subject of an issuer is one person's here."""

    __tablename__ = "identities"
    __table_args__ = (
        UniqueConstraint("issuer", "subject", name="identities_subject"),
        UniqueConstraint("user_id", "provider", name="identities_one_each"),
    )

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    user_id: UUID = belongs("users.id", index=False)
    provider: str
    """github or oidc."""
    issuer: str
    subject: str
    """Who it is at that issuer, for ever; names and addresses change hands."""
    login: str
    """As the issuer called them last, for people to recognise."""
    token_secret: str | None = Field(default=None, sa_type=Text)
    """Sealed: `[access token, refresh token or null]`; None where the provider's token is of no use."""
    token_expires_at: datetime | None = time(nullable=True)
    scopes: list[str] = Field(default_factory=list, sa_column=Column(JSONB, nullable=False))
    created_at: datetime = time()
    used_at: datetime = time()
    """When they last signed in with it or connected it."""
