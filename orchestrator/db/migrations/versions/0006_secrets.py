"""Add to a job the names of its secrets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("job", sa.Column("secrets", sa.JSON(), nullable=False, server_default="[]"))
