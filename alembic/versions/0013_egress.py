"""What a user's agents reach.

Revision ID: 0013
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("settings", sa.Column("network", sa.String(), nullable=True))
    op.add_column(
        "settings",
        sa.Column("network_hosts", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
    )
