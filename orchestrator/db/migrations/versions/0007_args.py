"""Add arguments to a step: a python step can be a script in the workspace."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("step", sa.Column("args", sa.JSON(), nullable=False, server_default="[]"))
