"""What a run may cost in time and money.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"

TABLES = ("runs", "tasks", "settings")


def upgrade() -> None:
    for table in TABLES:
        column = sa.Column("limits", postgresql.JSONB(), nullable=False, server_default=sa.text("'{}'"))
        op.add_column(table, column)


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "limits")
