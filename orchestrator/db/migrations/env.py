"""What alembic runs a migration in: the connection that it was given, in that connection's transaction."""

from __future__ import annotations

from alembic import context
from sqlmodel import SQLModel

from orchestrator.db import models  # noqa: F401 - its tables are what is compared with

context.configure(
    connection=context.config.attributes["connection"], target_metadata=SQLModel.metadata, render_as_batch=True
)
context.run_migrations()
