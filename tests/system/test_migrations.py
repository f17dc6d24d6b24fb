"""The record lasts: what an earlier version wrote is opened, and the tables are those of the code."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlmodel import SQLModel, create_engine

from orchestrator.db import models
from orchestrator.db.database import Database
from tests.support.first_record import FIRST_RECORD, write
from tests.support.system import System


def version(path: Path) -> str:
    with closing(sqlite3.connect(path)) as record:
        return str(record.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def test_the_migrations_make_the_tables_of_the_code(tmp_path: Path) -> None:
    Database(tmp_path / "new.db").close()
    engine = create_engine(f"sqlite:///{tmp_path / 'new.db'}")
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), SQLModel.metadata)
    engine.dispose()
    assert found == [], "a change of orchestrator/db/models.py needs a file in orchestrator/db/migrations/versions/"
    assert {"job", "step", "event", "turn"} == set(SQLModel.metadata.tables) and models.Job


def test_the_record_of_the_first_version_is_opened(make_system: Callable[..., System]) -> None:
    system = make_system(RETENTION_DAYS="3650")
    write(system.record / "orchestrator.db", FIRST_RECORD.read_text())
    system.start()
    completed, failed = system.http.get("/jobs").json()["jobs"][::-1]
    assert (completed["status"], failed["status"], failed["reason"]) == ("completed", "failed", "step_failed")
    found = system.status(completed["job_id"])
    assert [step["status"] for step in found["steps"]] == ["completed", "completed"]
    assert found["artifact"]["sha256"] and found["labels"] == {"team": "blue"}
    assert "Hello, world!" in system.output(completed["job_id"])
    again = system.http.post(f"/jobs/{completed['job_id']}/retry").json()["job_id"]
    system.completed(again)
    system.stop()
    assert version(system.record / "orchestrator.db") == "0011"


def test_the_record_of_a_later_version_is_left_as_it_is(make_system: Callable[..., System]) -> None:
    system = make_system()
    path = system.record / "orchestrator.db"
    write(path, "CREATE TABLE alembic_version (version_num VARCHAR(32)); INSERT INTO alembic_version VALUES ('9999');")
    system.launch()
    assert system.process and system.process.wait(30) == 1
    said = system.log.read_text()
    assert "version 9999" in said and "a later one" in said and "Traceback" not in said
    assert version(path) == "9999"
