"""Add to a job its uploaded files and the values for its template's inputs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("job", sa.Column("inputs", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("job", sa.Column("uploads", sa.JSON(), nullable=False, server_default="[]"))
