"""Add a job's conversation with its model, and the way in which its outcome was judged."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("job", sa.Column("turn_waited", sa.Float(), nullable=False, server_default="0"))
    op.add_column("job", sa.Column("turn_waits_since", sa.Float(), nullable=True))
    op.add_column("job", sa.Column("accepted", sa.Boolean(), nullable=True))
    op.add_column("job", sa.Column("verified_by", sa.String(), nullable=True))
    op.create_table(
        "turn",
        sa.Column("job_id", sa.String(), sa.ForeignKey("job.id"), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
    )
