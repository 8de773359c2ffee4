"""Batches: many runs, one pull request.

Revision ID: 0008
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"

EMPTY = {"server_default": sa.text("'[]'::jsonb"), "nullable": False}


def upgrade() -> None:
    _batches()
    _members()
    _dependencies()
    op.add_column("runs", sa.Column("batch_id", sa.Uuid(), sa.ForeignKey("batches.id", ondelete="CASCADE")))
    op.create_index(op.f("ix_runs_batch_id"), "runs", ["batch_id"])
    op.add_column("runs", sa.Column("takes_slot", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.add_column("runs", sa.Column("reference", sa.String(), server_default="", nullable=False))
    op.add_column("runs", sa.Column("start_sha", sa.String(), nullable=True))
    op.add_column("runs", sa.Column("clashes", postgresql.JSONB(), **EMPTY))
    op.add_column("projects", sa.Column("checks", postgresql.JSONB(), **EMPTY))
    op.add_column(
        "settings", sa.Column("build_on_previous", sa.Boolean(), server_default=sa.false(), nullable=False)
    )


def _batches() -> None:
    op.create_table(
        "batches",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("auto_approve", sa.Boolean(), nullable=False),
        sa.Column("stop_on_failure", sa.Boolean(), nullable=False),
        sa.Column("conflict_behavior", sa.String(), nullable=False),
        sa.Column("build_on_previous", sa.Boolean(), nullable=False),
        sa.Column("checks", postgresql.JSONB(), nullable=False),
        sa.Column("base_branch", sa.String(), nullable=False),
        sa.Column("author_name", sa.String(), nullable=False),
        sa.Column("author_email", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("error_kind", sa.String(), nullable=True),
        sa.Column("owner", sa.String(), nullable=True),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("cancel_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_taken_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("branch", sa.String(), nullable=False),
        sa.Column("base_sha", sa.String(), nullable=True),
        sa.Column("head_sha", sa.String(), nullable=True),
        sa.Column("pushed_sha", sa.String(), nullable=True),
        sa.Column("pr_url", sa.String(), nullable=True),
        sa.Column("pr_number", sa.Integer(), nullable=True),
        sa.Column("trials", postgresql.JSONB(), nullable=False),
    )
    still_open = sa.text("ended_at IS NULL")
    op.create_index("batches_open", "batches", ["user_id", "created_at"], postgresql_where=still_open)
    op.create_index("batches_by_project", "batches", ["project_id", "created_at"])


def _members() -> None:
    op.create_table(
        "batch_members",
        sa.Column("run_id", sa.Uuid(), sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("batch_id", sa.Uuid(), sa.ForeignKey("batches.id", ondelete="CASCADE"), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("waits_for", postgresql.JSONB(), nullable=False),
        sa.Column("handed_in_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("left_out", sa.Text(), nullable=True),
        sa.Column("left_out_kind", sa.String(), nullable=True),
        sa.Column("output", sa.Text(), nullable=False),
        sa.Column("merged_sha", sa.String(), nullable=True),
        sa.Column("head_sha", sa.String(), nullable=True),
        sa.Column("start_sha", sa.String(), nullable=True),
        sa.Column("readied", sa.Integer(), nullable=False),
        sa.Column("begun", sa.Integer(), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("mends_sha", sa.String(), nullable=True),
        sa.Column("clashing", postgresql.JSONB(), nullable=False),
    )
    op.create_index("batch_members_in_order", "batch_members", ["batch_id", "position"], unique=True)


def _dependencies() -> None:
    """Which tasks a task waits for."""
    task = sa.ForeignKey("tasks.id", ondelete="CASCADE")
    op.create_table(
        "task_dependencies",
        sa.Column("task_id", sa.Uuid(), task, primary_key=True),
        sa.Column("waits_for", sa.Uuid(), sa.ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True),
    )
    op.create_index(op.f("ix_task_dependencies_waits_for"), "task_dependencies", ["waits_for"])
