"""Who owns a run: fences, attempts, cancellation that any worker can see through, workers by process.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def _moment(name: str) -> "sa.Column[sa.DateTime]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=True)


def upgrade() -> None:
    op.add_column("runs", sa.Column("fence", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("runs", sa.Column("owner", sa.String(), nullable=True))
    op.add_column("runs", sa.Column("attempt", sa.Integer(), nullable=False, server_default="1"))
    for name in ("cancel_requested_at", "cancel_taken_at", "cleared_at"):
        op.add_column("runs", _moment(name))
    op.execute("UPDATE runs SET cancel_requested_at = now() WHERE cancel_requested")
    op.execute("UPDATE runs SET cleared_at = ended_at")
    op.execute("UPDATE runs SET fence = 1 WHERE started_at IS NOT NULL")
    op.drop_column("runs", "cancel_requested")
    op.create_index(
        "runs_not_cleared", "runs", ["id"], postgresql_where=sa.text("cleared_at IS NULL"), unique=False
    )
    op.add_column("containers", sa.Column("spent", sa.Boolean(), nullable=False, server_default=sa.false()))
    # Rows of processes that are gone or about to be: an upgrade restarts them all.
    op.execute("DELETE FROM workers")
    op.add_column("workers", sa.Column("name", sa.String(), nullable=False))
    op.add_column("workers", sa.Column("version", sa.String(), nullable=False))


def downgrade() -> None:
    op.drop_column("workers", "version")
    op.drop_column("workers", "name")
    op.drop_column("containers", "spent")
    op.drop_index("runs_not_cleared", "runs")
    op.add_column(
        "runs", sa.Column("cancel_requested", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.execute("UPDATE runs SET cancel_requested = true WHERE cancel_requested_at IS NOT NULL")
    for name in ("cleared_at", "cancel_taken_at", "cancel_requested_at", "attempt", "owner", "fence"):
        op.drop_column("runs", name)
