"""Accounts at model providers, and signing in to them.

Revision ID: 0015
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column("provider_keys", sa.Column("account_secret", sa.Text(), nullable=True))
    op.add_column("provider_keys", sa.Column("account_expires", sa.BigInteger(), nullable=True))
    op.create_table(
        "provider_sign_ins",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("provider_id", sa.String(), nullable=False),
        sa.Column("method", sa.Integer(), nullable=False),
        sa.Column("code_secret", sa.Text(), nullable=True),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", "provider_id"),
    )
