"""Add indexes for the jobs whose files expire, and for the jobs that leave the record."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    with_files, without = sa.text("expired_at IS NULL"), sa.text("expired_at IS NOT NULL")
    op.create_index("by_expiry", "job", ["keep_days", "ended_at"], sqlite_where=with_files)
    op.create_index("by_end", "job", ["ended_at"], sqlite_where=without)
