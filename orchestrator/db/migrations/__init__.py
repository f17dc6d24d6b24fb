"""The record's versions. Each change of the tables is a file in ``versions/``, which runs when the system starts.

A record without a version was made before versions existed. It has the tables of the first version. A record of a
later version than ours is left as it is, and the system does not start.
"""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from orchestrator.errors import SettingsError

log = logging.getLogger(__name__)

FIRST = "0001"


def upgrade(connection: Connection) -> None:
    """Upgrade the record to our version. Raises SettingsError if the record has a later version."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    version = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if version is not None and version not in known:
        raise SettingsError(
            f"The record has version {version}, which this orchestrator does not know: it was written by a later one. "
            "Start the later orchestrator, or set another AGENT_OUTPUT_DIR."
        )
    if version is None and inspect(connection).has_table("job"):
        command.stamp(config, FIRST)
    command.upgrade(config, "head")
    now = MigrationContext.configure(connection).get_current_revision()
    if now != version:
        log.info("the record is now of version %s, it was of %s", now, version or "none")
