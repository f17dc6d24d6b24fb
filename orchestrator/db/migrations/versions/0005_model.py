"""Add to a job its model: the budget, the use, and the text of the review."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0003"

COLUMNS = (
    ("given", sa.JSON(), "[]"),
    ("max_calls", sa.Integer(), "20"),
    ("max_tokens", sa.Integer(), "500000"),
    ("max_cost", sa.Float(), "1.0"),
    ("calls", sa.Integer(), "0"),
    ("tokens", sa.Integer(), "0"),
    ("cost", sa.Float(), "0"),
    ("repairs", sa.Integer(), "0"),
    ("summary", sa.String(), ""),
)


def upgrade() -> None:
    for name, kind, default in COLUMNS:
        op.add_column("job", sa.Column(name, kind, nullable=False, server_default=default))
    op.add_column("job", sa.Column("model", sa.String(), nullable=True))
