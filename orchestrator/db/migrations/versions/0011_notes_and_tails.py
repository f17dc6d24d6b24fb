"""Add the notes about a job's request, and the end of each step's output."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("job", sa.Column("notes", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("step", sa.Column("output_tail", sa.String(), nullable=False, server_default=""))
