"""The environment of a migration. Alembic uses the connection that it was given, and that connection's transaction."""

from __future__ import annotations

from alembic import context
from sqlmodel import SQLModel

from orchestrator.db import models  # noqa: F401 - alembic compares with its tables

context.configure(
    connection=context.config.attributes["connection"], target_metadata=SQLModel.metadata, render_as_batch=True
)
context.run_migrations()
